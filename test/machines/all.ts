/** Every machine of ours, with an input and its events: for what is to be true of all of them. */
import fc from 'fast-check'
import type { EventObject } from 'xstate'
import type { HostedMachine } from '../../actors/step.ts'
import { childMachine } from '../../machines/child.ts'
import { eventMachine } from '../../machines/event.ts'
import { flowMachine } from '../../machines/flow.ts'
import { functionMachine } from '../../machines/function.ts'
import { holdingMachine } from '../../machines/holding.ts'
import { intakeMachine } from '../../machines/intake.ts'
import { invocationMachine } from '../../machines/invocation.ts'
import { leaseMachine } from '../../machines/lease.ts'
import { mappingMachine } from '../../machines/mapping.ts'
import { partitionMachine } from '../../machines/partition.ts'
import { peerMachine } from '../../machines/peer.ts'
import { placementMachine } from '../../machines/placement.ts'
import { poolMachine } from '../../machines/pool.ts'
import { queueMachine } from '../../machines/queue.ts'
import { reservationsMachine } from '../../machines/reservations.ts'
import { sandboxMachine } from '../../machines/sandbox.ts'
import { shardMachine } from '../../machines/shard.ts'
import { shardEndMachine } from '../../machines/shard-end.ts'
import { shardReaderMachine } from '../../machines/shard-reader.ts'
import { shardSourceMachine } from '../../machines/shard-source.ts'
import { streamMachine } from '../../machines/stream.ts'
import { workerMachine } from '../../machines/worker.ts'

/** What the fields of our machines' events are made of: few values, so that they meet. */
const id = (letter: string) => fc.constantFrom(`${letter}1`, `${letter}2`)
const seat = fc.record({ sandboxId: id('s'), workerId: id('w') })
const fields: Record<string, fc.Arbitrary<unknown>> = {
  sandboxId: id('s'),
  workerId: id('w'),
  frontEnd: id('f'),
  requestId: id('r'),
  generation: id('g'),
  pool: id('p'),
  seat,
  seats: fc.array(seat, { maxLength: 2 }),
  count: fc.nat(3),
  limit: fc.nat(4),
  elsewhere: fc.nat(2),
  cap: fc.option(fc.nat(3), { nil: undefined }),
  keep: fc.nat(3),
  owner: id('s'),
  audit: fc.nat(3),
  run: fc.nat(3),
  life: fc.nat(3),
  taken: fc.nat(3),
  atMs: fc.nat(1_000_000),
  timeoutMs: fc.constantFrom(1_000, 3_000),
  tookMs: fc.nat(100),
  memoryMb: fc.constantFrom(128, 256, 512),
  unusedMb: fc.constantFrom(0, 128),
  revision: fc.nat(9),
  epoch: fc.integer({ min: 1, max: 2 }),
  lease: fc
    .integer({ min: 1, max: 2 })
    .map((epoch) => ({ key: 'k', value: 'p', epoch, revision: epoch, heldUntil: 0, holder: 'h' })),
  isOurs: fc.boolean(),
  byUs: fc.boolean(),
  outcome: fc.constantFrom(
    ...['alive', 'gone', 'silent', 'unknown'],
    ...['succeeded', 'failed', 'throttled', 'unavailable', 'recursive'],
    { kind: 'succeeded' },
    { kind: 'failed' },
    { kind: 'throttled' },
    { kind: 'overflown' },
    { kind: 'partly', to: 2 },
  ),
  policy: fc.record({
    mostAttempts: fc.integer({ min: 1, max: 3 }),
    mostAgeMs: fc.constantFrom(60_000, 600_000),
    isShutOff: fc.boolean(),
    tellsSuccess: fc.boolean(),
  }),
  nowMs: fc.nat(600_000),
  how: fc.constantFrom('well', 'badly', 'throttled'),
  lineMs: fc.constantFrom(0, 20),
  poller: fc.option(id('p'), { nil: undefined }),
  own: fc.nat(1),
  asks: fc.boolean(),
  refusal: fc.constant({ why: 'no function' }),
  reason: fc.constant('why'),
  why: fc.constant('why'),
  reply: fc.constant('here'),
  at: fc.constant('2026-11-23T09:00:00.000Z'),
  revisionId: id('v'),
  name: fc.constant('f'),
  incarnation: fc.constant('i1'),
  settings: fc.constant({ memoryMb: 128 }),
  code: fc.constant({ sha256: 'abc', sizeBytes: 3 }),
  tags: fc.constant({ team: 'a' }),
  keys: fc.constant(['team']),
  qualifier: fc.constantFrom('$LATEST', '1', 'constructor'),
  change: fc.constantFrom({ maximumRetryAttempts: 0 }, { onSuccess: 'arn' }, { onSuccess: '' }),
  recursiveLoop: fc.constantFrom('Allow', 'Terminate'),
  reservedConcurrency: fc.nat(2),
  isEnabled: fc.option(fc.boolean(), { nil: undefined }),
  isRead: fc.boolean(),
  result: fc.constantFrom('OK', 'PROBLEM: Function call failed'),
  asked: id('a'),
  ask: fc.constantFrom('i1.1', 'i1.2', 'i1.3'),
  room: fc.nat(6),
  shardCount: fc.integer({ min: 1, max: 4 }),
  mode: fc.constantFrom('PROVISIONED', 'ON_DEMAND'),
  maxRecordKib: fc.constantFrom(1024, 2048),
  enforceConsumerDeletion: fc.boolean(),
  shard: fc.nat(4),
  adjacent: fc.nat(4),
  newStartingHashKey: fc.constantFrom('7', String(2n ** 127n), String(2n ** 126n)),
  target: fc.integer({ min: 1, max: 4 }),
  hours: fc.constantFrom(23, 24, 48),
  direction: fc.constantFrom('increase', 'decrease'),
  consumer: id('c'),
  lastSequence: fc.nat(9),
  batch: fc.constantFrom(
    { from: 1, middle: 2, to: 3, records: 3, firstMs: 10 },
    { from: 2, middle: 2, to: 2, records: 1, firstMs: 1_500 },
  ),
  to: fc.nat(4),
  hasMore: fc.boolean(),
  isFull: fc.boolean(),
  opening: fc.integer({ min: 1, max: 3 }),
  last: fc.nat(9),
  isHere: fc.boolean(),
}

/** Any of a machine's events, with all fields that any of ours has: a machine takes those that it knows. */
const eventsOf = (machine: HostedMachine): fc.Arbitrary<EventObject> => {
  const types = (machine.events as string[]).filter((type) => !type.startsWith('xstate.'))
  return fc
    .constantFrom(...types)
    .chain((type) => fc.record({ type: fc.constant(type), ...fields }))
}

const inputs: [HostedMachine, unknown][] = [
  [
    childMachine,
    {
      launchTimeoutMs: 30_000,
      steadyMs: 10_000,
      backOffMs: 50,
      maxBackOffMs: 150,
      maxDeaths: 4,
      stopTimeoutMs: 5_000,
    },
  ],
  [
    eventMachine,
    {
      isTelling: false,
      acceptedAtMs: 0,
      attempts: 1,
      putOff: 0,
      retryWaitsMs: [60_000, 120_000],
      backOffMs: 1_000,
      longestBackOffMs: 300_000,
      tellForMs: 86_400_000,
      endedAtMs: 0,
    },
  ],
  [
    flowMachine,
    {
      least: 2,
      mostRunning: 4,
      mostWaiting: 3,
      growEveryMs: 1_000,
    },
  ],
  [functionMachine, undefined],
  [holdingMachine, { ttlMs: 15_000, renewEveryMs: 5_000, askAgainMs: 500, drainForMs: 30_000 }],
  [intakeMachine, { manyPerLook: 2, fewPerLook: 1, ebbForMs: 60, holdForMs: 1_000 }],
  [invocationMachine, { reservationTimeoutMs: 30_000, overdueMs: 1_000, aheadMs: 50 }],
  [leaseMachine, { moveForMs: 35_000, offerAgainMs: 2_000 }],
  [
    mappingMachine,
    {
      record: {
        uuid: 'u1',
        functionName: 'f',
        functionArn: 'arn:f',
        sourceArn: 'arn:s',
        stream: 's',
        incarnation: 'i1',
        startingPosition: 'LATEST',
        startsAfter: 7,
        settings: {
          batchSize: 100,
          batchingWindowMs: 0,
          parallelizationFactor: 1,
          bisectsOnError: false,
          maximumRetryAttempts: -1,
          maximumRecordAgeMs: -1,
          tumblingWindowMs: 0,
          reportsItemFailures: false,
          filters: [],
        },
        state: 'Creating',
        reason: 'User action',
        lastResult: 'No records processed',
        lastModifiedMs: 0,
        tags: {},
      },
      reply: 'here',
      isRead: false,
      settleMs: 500,
      leaveForMs: 60_000,
      clearAgainMs: 5_000,
    },
  ],
  [partitionMachine, { partition: 0, ttlMs: 15_000, renewEveryMs: 5_000, vacancyMs: 1_000 }],
  [peerMachine, { silenceMs: 900, secondLookMs: 300 }],
  [
    placementMachine,
    {
      candidates: ['w1', 'w2'].map((workerId) => ({
        workerId,
        freeMb: 512,
        unusedMb: 0,
        sandboxes: 0,
        ofSameFunction: 0,
      })),
      memoryMb: 128,
      patienceMs: 500,
    },
  ],
  [
    poolMachine,
    {
      prefix: 's1',
      limit: 3,
      elsewhere: 0,
      reason: 'limit',
      keepAliveMs: 600_000,
      graceMs: 50,
      roomAgainMs: 500,
      found: [
        { sandboxId: 's1', workerId: 'w1', standing: { is: 'held', frontEnd: 'f1', audits: 0 } },
      ],
    },
  ],
  [
    queueMachine,
    {
      functionName: 'f',
      isShown: false,
      lanes: 2,
      splitAt: 1,
      mergeAfterMs: 60_000,
      settleMs: 10_000,
    },
  ],
  [reservationsMachine, { askAgainMs: 200, quickMs: 25, cap: undefined }],
  [sandboxMachine, { initTimeoutMs: 10_000, invokeTimeoutMs: 3_000, exitTimeoutMs: 2_000 }],
  [
    shardMachine,
    {
      work: { mapping: 'u1', stream: 's', incarnation: 'i1', shard: 2, start: { after: 7 } },
      waitsFor: [0, 1],
      found: undefined,
    },
  ],
  [streamMachine, { name: 's', record: undefined, nowMs: 0, settleMs: 500, againMs: 1_000 }],
  [
    shardReaderMachine,
    {
      settings: {
        batchingWindowMs: 100,
        bisectsOnError: true,
        maximumRetryAttempts: 1,
        maximumRecordAgeMs: 60_000,
        tumblingWindowMs: 1_000,
        tells: true,
        backOffMs: 10,
        longestBackOffMs: 100,
      },
      batches: [],
      windowStartMs: undefined,
      nowMs: 0,
    },
  ],
  [shardEndMachine, { hasEnded: false }],
  [shardSourceMachine, undefined],
  [workerMachine, { memoryMb: 512, startsAtOnce: 2 }],
]

export const allMachines = inputs.map(([machine, input]) => ({
  machine,
  input,
  anyEvent: eventsOf(machine),
}))
