/**
 * Messages that nobody should send, from a seed: on every family of subjects in bus/subjects.ts, with bodies that are
 * nothing, nonsense, huge, or an event of XState's own.
 */
import { headers, type MsgHdrs } from 'nats'
import * as subjects from '../../bus/subjects.ts'
import type { Chance } from '../seed.ts'

export type BadMessage = { subject: string; body: Uint8Array; headers?: MsgHdrs }

/** Ids of what is really there, so that nonsense reaches those who listen. */
export type Targets = { processes: string[]; workers: string[]; functionName: string }

const pick = <Item>(chance: Chance, items: readonly Item[]): Item =>
  items[chance(items.length)] as Item

/** Every event that one of us tells another; what XState says to itself; and what nobody ever says. */
const events = [
  ...['want', 'released', 'doubted', 'placed', 'noRoom', 'ready', 'freed', 'stopped', 'retired'],
  ...[
    'granted',
    'throttled',
    'recall',
    'redirected',
    'moved',
    'tick',
    'workerGone',
    'frontEndGone',
  ],
  ...['invoke', 'stop', 'reclaim', 'callOff', 'turn', 'provisioned', 'answered', 'exited'],
  ...['xstate', 'xstate_init', 'nonsense', '__proto__', 'constructor', 'toString', '%00', 'ä'],
]
/** Of more tokens than the family has, as an event of XState's own would be. */
const reserved = ['xstate.init', 'xstate.stop', 'xstate.done.actor.0', 'xstate.after.100.sandbox']

const bodies: readonly (string | Uint8Array)[] = [
  '',
  '{',
  'null',
  '[]',
  '1',
  '"text"',
  '{}',
  '{"pool":null}',
  '{"pool":"nobody"}',
  '{"pool":"nobody:1","frontEnd":1,"count":"many","seats":null,"seat":7,"sandboxId":{},"atMs":"now"}',
  '{"pool":"nobody:1","frontEnd":"nobody","count":-1,"seats":[null],"sandboxId":"none"}',
  '{"pool":"nobody:1","frontEnd":"nobody","count":1e308}',
  '{"type":"xstate.init"}',
  '{"type":"xstate.stop"}',
  '{"type":"xstate.after.100.sandbox.idle"}',
  '{"type":{},"partition":"x","id":null}',
  '{"partition":-1}',
  '{"__proto__":{"type":"stop"}}',
  '['.repeat(50_000),
  Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  'x'.repeat(1_000_000),
]

/** `within`: tokens of one subject; a token that NATS would not take is never made. */
function subject(chance: Chance, { processes, workers, functionName }: Targets): string {
  const event = pick(chance, events)
  const some = pick(chance, ['nobody', functionName, 'xstate', '__proto__'])
  const process = pick(chance, [...processes, 'nobody'])
  const worker = pick(chance, [...workers, 'nobody'])
  const families = [
    () => subjects.invoke('nobody'),
    () => subjects.invoke('nobody', pick(chance, ['1', '$LATEST', '$', 'ä'])),
    () => `${subjects.invoke('nobody', '1')}.more.tokens`,
    () => subjects.api(pick(chance, ['Frobnicate', 'constructor', '__proto__', 'DeleteFunction'])),
    () => subjects.api(pick(chance, ['CreateFunction', 'UpdateFunctionCode', 'TagResource'])),
    () => `${subjects.api('GetFunction')}.more`,
    () => subjects.pool(chance(9), event),
    () => `${subjects.pool(chance(8), 'x')}.${pick(chance, reserved)}`,
    () => subjects.frontEnd(process, event),
    () => subjects.heldReservations,
    () => subjects.place,
    () => subjects.provision(worker),
    () => subjects.sandbox(worker, 'nobody', event),
    () => `lambus.worker.${worker}.sandbox.nobody.${pick(chance, reserved)}`,
    () => subjects.runningSandboxes,
    () => subjects.beat(pick(chance, ['worker', 'nobody', '__proto__']), 'nobody'),
    () => subjects.hello,
    () => subjects.ping(process),
    () => subjects.status,
    () => subjects.actor(pick(chance, ['function', 'pool', 'nobody']), some, event),
    () => `lambus.actor.pool.nobody.${pick(chance, reserved)}`,
    () => subjects.durable(pick(chance, ['function', 'nobody']), 'nobody'),
    () => subjects.answer(process, 'nobody'),
    () => subjects.log('nobody'),
    () => subjects.kinesis(pick(chance, ['nobody', 'a.b', '__proto__', 'x'.repeat(200)])),
    () => subjects.trackerStream,
    () => subjects.trackerMapping,
    () => subjects.trackerSync,
    () => subjects.trackerEnded,
    () => subjects.trackerResult,
    () => subjects.shardsReport(process),
    () => subjects.trackedStreams,
    () => `lambus.${event}`,
  ]
  return pick(chance, families)()
}

/** What stream trackers almost understand. */
const trackerBodies: readonly string[] = [
  '{"type":"create"}',
  '{"type":"frobnicate","name":"nobody"}',
  '{"type":"update","uuid":"nobody","nowMs":"now","settings":null}',
  '{"type":"delete","uuid":"nobody","nowMs":1}',
  '{"mapping":"nobody","shard":-1}',
  '{"mapping":null,"result":{}}',
  '{"stream":1}',
  '{"stream":"nobody"}',
  '{"shards":[null,1,{}]}',
]

const headerSets: readonly Record<string, string>[] = [
  {},
  { 'X-Amz-Invocation-Type': 'nonsense' },
  { 'X-Amz-Invocation-Type': 'Event' },
  { 'X-Amz-Log-Type': 'nonsense' },
  { 'X-Amz-Client-Context': '!' },
  { 'X-Amz-Client-Context': 'A'.repeat(10_000) },
  { 'Nats-Service-Error-Code': '500', 'Nats-Service-Error': 'no' },
  { 'Lambus-Revision': '99999999999', 'Lambus-Status': 'x' },
  { 'Lambus-Event-Id': '', 'Nats-Scheduler': 'x' },
  { 'X-Amzn-RequestId': 'x'.repeat(5_000) },
  { 'Partition-Key': 'x'.repeat(300) },
  { 'Partition-Key': 'x', 'Explicit-Hash-Key': '-1' },
]

export function badMessage(chance: Chance, targets: Targets): BadMessage {
  const carried = Object.entries(pick(chance, headerSets))
  const made = headers()
  for (const [name, value] of carried) made.set(name, value)
  const to = subject(chance, targets)
  const isForTracker = /^lambus\.(tracker|poller|streams)/.test(to)
  return {
    subject: to,
    body: Buffer.from(pick(chance, isForTracker ? [...bodies, ...trackerBodies] : bodies)),
    ...(carried.length === 0 ? {} : { headers: made }),
  }
}
