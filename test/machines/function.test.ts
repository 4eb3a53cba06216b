import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type EventInvokeChange,
  eventInvokeOf,
  type FunctionAnswer,
  type FunctionEvent,
  type FunctionRecord,
  type FunctionSettings,
  functionMachine,
  type Generation,
} from '../../machines/function.ts'
import { live } from './life.ts'
import { type Shorten, storyOf } from './story.ts'

const settings: FunctionSettings = {
  runtime: 'nodejs24.x',
  handler: 'index.handler',
  role: 'arn:aws:iam::000000000000:role/r',
  description: '',
  timeoutSeconds: 3,
  memoryMb: 128,
  environment: undefined,
}
const code = (sha256: string) => ({ sha256, sizeBytes: 100 })

const show = (record: FunctionRecord) => {
  const { step, revisionId, state, lastUpdate, serving, reason, tags } = record
  const { eventInvoke = {}, recursiveLoop, reservedConcurrency } = record
  return [
    `#${step}`,
    revisionId,
    state,
    lastUpdate,
    `serves ${serving?.id ?? 'nothing'}`,
    reason && `because ${reason}`,
    Object.keys(tags).length > 0 && `tags ${Object.keys(tags)}`,
    ...Object.entries(eventInvoke).map(([qualifier, { lastModified: _, ...config }]) =>
      [qualifier, ...Object.entries(config).map((pair) => pair.join('='))].join(' '),
    ),
    recursiveLoop,
    reservedConcurrency !== undefined && `reserves ${reservedConcurrency}`,
  ]
    .filter((text) => text !== undefined && text !== false)
    .join(' ')
}

const shorten: Shorten = (key, value) => {
  if (key === 'record') return `(${show(value as FunctionRecord)})`
  if (key === 'generation' && typeof value === 'object') return (value as Generation).id
  if (key === 'answer') {
    const answer = value as FunctionAnswer
    return 'refused' in answer ? answer.refused : 'record'
  }
  return ['name', 'incarnation', 'settings', 'code', 'at', 'reply'].includes(key) ? '' : undefined
}
const story = storyOf(functionMachine, undefined, shorten)

const at = '2026-11-23T09:00:00.000Z'
const create = (generation = 'g1'): FunctionEvent => ({
  type: 'create',
  name: 'f',
  incarnation: 'i1',
  generation,
  settings,
  code: code('one'),
  tags: {},
  reply: 'here',
  at,
  revisionId: `by-${generation}`,
})
const updateCode = (generation: string, expectedRevisionId?: string): FunctionEvent => ({
  type: 'updateCode',
  generation,
  code: code('two'),
  reply: 'here',
  at,
  revisionId: `by-${generation}`,
  ...(expectedRevisionId === undefined ? {} : { expectedRevisionId }),
})
const updateConfiguration = (generation: string): FunctionEvent => ({
  type: 'updateConfiguration',
  generation,
  settings: { memoryMb: 256 },
  reply: 'here',
  at,
  revisionId: `by-${generation}`,
})
const request = { reply: 'here', at, revisionId: 'x' }
const tag: FunctionEvent = { type: 'tag', tags: { team: 'a' }, ...request }
const untag: FunctionEvent = { type: 'untag', keys: ['team'], ...request }
const put = (change: EventInvokeChange, qualifier = '$LATEST'): FunctionEvent => ({
  type: 'putEventInvoke',
  qualifier,
  change,
  ...request,
})
const update = (change: EventInvokeChange): FunctionEvent => ({
  type: 'updateEventInvoke',
  qualifier: '$LATEST',
  change,
  ...request,
})
const forget: FunctionEvent = { type: 'deleteEventInvoke', qualifier: '$LATEST', ...request }
const allow: FunctionEvent = { type: 'setRecursiveLoop', recursiveLoop: 'Allow', ...request }
const reserve: FunctionEvent = { type: 'reserveConcurrency', reservedConcurrency: 0, ...request }
const release: FunctionEvent = { type: 'releaseConcurrency', ...request }
const remove: FunctionEvent = { type: 'delete', ...request }
const prepared = (generation: string): FunctionEvent => ({ type: 'prepared', generation })
const unprepared = (generation: string): FunctionEvent => ({
  type: 'unprepared',
  generation,
  reason: 'no code',
})

// lambda-semantics.md §2: a function is Pending until it can be invoked, then Active.
test('a function that is created is pending until its first generation is prepared', () => {
  expect(story(create(), prepared('g1'))).toMatchInlineSnapshot(`
    "
    (start)         → absent
    create g1 by-g1 → existing.pending  publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    prepared g1     → existing.active   publish (#2 by-g1 Active Successful serves g1)
    "
  `)
})

test('a function whose first generation cannot be prepared has failed, and an update may mend it', () => {
  expect(
    story(create(), unprepared('g1'), updateCode('g2'), prepared('g2')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → absent
    create g1 by-g1       → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    unprepared g1 no code → existing.failed    publish (#2 by-g1 Failed none serves nothing because no code)
    updateCode g2 by-g2   → existing.updating  publish (#3 by-g2 Failed InProgress serves nothing), answer record, prepare g2
    prepared g2           → existing.active    publish (#4 by-g2 Active Successful serves g2)
    "
  `)
})

test('a failed function whose mending fails has failed still, and its update is over', () => {
  expect(
    story(create(), unprepared('g1'), updateCode('g2'), unprepared('g2'), updateCode('g3')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → absent
    create g1 by-g1       → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    unprepared g1 no code → existing.failed    publish (#2 by-g1 Failed none serves nothing because no code)
    updateCode g2 by-g2   → existing.updating  publish (#3 by-g2 Failed InProgress serves nothing), answer record, prepare g2
    unprepared g2 no code → existing.failed    publish (#4 by-g2 Failed Failed serves nothing because no code)
    updateCode g3 by-g3   → existing.updating  publish (#5 by-g3 Failed InProgress serves nothing), answer record, prepare g3
    "
  `)
})

test('while an update is prepared, the old generation serves', () => {
  expect(
    story(create(), prepared('g1'), updateConfiguration('g2'), prepared('g2')),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → absent
    create g1 by-g1              → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    prepared g1                  → existing.active    publish (#2 by-g1 Active Successful serves g1)
    updateConfiguration g2 by-g2 → existing.updating  publish (#3 by-g2 Active InProgress serves g1), answer record, prepare g2
    prepared g2                  → existing.active    publish (#4 by-g2 Active Successful serves g2)
    "
  `)
})

test('an update that cannot be prepared leaves the old generation serving', () => {
  expect(
    story(create(), prepared('g1'), updateCode('g2'), unprepared('g2')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → absent
    create g1 by-g1       → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    prepared g1           → existing.active    publish (#2 by-g1 Active Successful serves g1)
    updateCode g2 by-g2   → existing.updating  publish (#3 by-g2 Active InProgress serves g1), answer record, prepare g2
    unprepared g2 no code → existing.active    publish (#4 by-g2 Active Failed serves g1 because no code)
    "
  `)
})

test('an update during a creation or an update is refused', () => {
  expect(
    story(
      create(),
      updateCode('g2'),
      prepared('g1'),
      updateCode('g3'),
      updateConfiguration('g4'),
      prepared('g3'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → absent
    create g1 by-g1              → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    updateCode g2 by-g2          → existing.pending   answer updating
    prepared g1                  → existing.active    publish (#2 by-g1 Active Successful serves g1)
    updateCode g3 by-g3          → existing.updating  publish (#3 by-g3 Active InProgress serves g1), answer record, prepare g3
    updateConfiguration g4 by-g4 → existing.updating  answer updating
    prepared g3                  → existing.active    publish (#4 by-g3 Active Successful serves g3)
    "
  `)
})

test('an update that expects another revision is refused, and changes nothing', () => {
  expect(
    story(create(), prepared('g1'), updateCode('g2', 'by-g0'), updateCode('g3', 'by-g1')),
  ).toMatchInlineSnapshot(`
    "
    (start)                   → absent
    create g1 by-g1           → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    prepared g1               → existing.active    publish (#2 by-g1 Active Successful serves g1)
    updateCode g2 by-g2 by-g0 → existing.active    answer stale revision
    updateCode g3 by-g3 by-g1 → existing.updating  publish (#3 by-g3 Active InProgress serves g1), answer record, prepare g3
    "
  `)
})

test('a second creation is refused', () => {
  expect(story(create(), create('g2'), prepared('g1'), create('g3'))).toMatchInlineSnapshot(`
    "
    (start)         → absent
    create g1 by-g1 → existing.pending  publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    create g2 by-g2 → existing.pending  answer exists
    prepared g1     → existing.active   publish (#2 by-g1 Active Successful serves g1)
    create g3 by-g3 → existing.active   answer exists
    "
  `)
})

test('a function that is deleted while it is updated is gone at once', () => {
  expect(story(create(), prepared('g1'), updateCode('g2'), remove)).toMatchInlineSnapshot(`
    "
    (start)             → absent
    create g1 by-g1     → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    prepared g1         → existing.active    publish (#2 by-g1 Active Successful serves g1)
    updateCode g2 by-g2 → existing.updating  publish (#3 by-g2 Active InProgress serves g1), answer record, prepare g2
    delete x            → deleted            withdraw (#4 by-g2 Active InProgress serves g1), answer record
    "
  `)
})

test('what is asked of a function that is not there is refused, and nothing is kept of it', () => {
  const beside = [put({ maximumRetryAttempts: 0 }), update({}), forget, allow, reserve, release]
  for (const event of [
    updateCode('g1'),
    updateConfiguration('g1'),
    tag,
    untag,
    remove,
    ...beside,
  ]) {
    const life = live(functionMachine, undefined)
    const { asked } = life.take(event)
    expect(asked).toEqual([
      { type: 'answer', params: { reply: 'here', answer: { refused: 'absent' } } },
    ])
    expect(life.state).toBe('deleted')
  }
})

test('a preparation that comes late, of a generation that was overtaken, changes nothing', () => {
  expect(
    story(
      create(),
      unprepared('g1'),
      updateCode('g2'),
      prepared('g1'),
      unprepared('g1'),
      prepared('g2'),
      prepared('g2'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → absent
    create g1 by-g1       → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    unprepared g1 no code → existing.failed    publish (#2 by-g1 Failed none serves nothing because no code)
    updateCode g2 by-g2   → existing.updating  publish (#3 by-g2 Failed InProgress serves nothing), answer record, prepare g2
    prepared g1           → existing.updating  ignored
    unprepared g1 no code → existing.updating  ignored
    prepared g2           → existing.active    publish (#4 by-g2 Active Successful serves g2)
    prepared g2           → existing.active    ignored
    "
  `)
})

test('tags change at any time and touch neither code nor revision', () => {
  expect(story(create(), tag, prepared('g1'), updateCode('g2'), untag)).toMatchInlineSnapshot(`
    "
    (start)             → absent
    create g1 by-g1     → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    tag a x             → existing.pending   publish (#2 by-g1 Pending none serves nothing tags team), answer record
    prepared g1         → existing.active    publish (#3 by-g1 Active Successful serves g1 tags team)
    updateCode g2 by-g2 → existing.updating  publish (#4 by-g2 Active InProgress serves g1 tags team), answer record, prepare g2
    untag [team] x      → existing.updating  publish (#5 by-g2 Active InProgress serves g1), answer record
    "
  `)
})

// lambda-semantics.md §4.2: PUT overwrites, POST merges.
test('what is set for asynchronous invocation makes no generation and no revision', () => {
  expect(
    story(
      create(),
      put({ maximumRetryAttempts: 0, onSuccess: 'a' }),
      prepared('g1'),
      put({ maximumEventAgeSeconds: 60, onFailure: 'b' }),
      updateCode('g2'),
      update({ maximumRetryAttempts: 1 }),
      update({ onFailure: '', onSuccess: 'c' }),
      forget,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                        → absent
    create g1 by-g1                → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    putEventInvoke $LATEST 0/a x   → existing.pending   publish (#2 by-g1 Pending none serves nothing $LATEST maximumRetryAttempts=0 onSuccess=a), answer record
    prepared g1                    → existing.active    publish (#3 by-g1 Active Successful serves g1 $LATEST maximumRetryAttempts=0 onSuccess=a)
    putEventInvoke $LATEST 60/b x  → existing.active    publish (#4 by-g1 Active Successful serves g1 $LATEST maximumEventAgeSeconds=60 onFailure=b), answer record
    updateCode g2 by-g2            → existing.updating  publish (#5 by-g2 Active InProgress serves g1 $LATEST maximumEventAgeSeconds=60 onFailure=b), answer record, prepare g2
    updateEventInvoke $LATEST 1 x  → existing.updating  publish (#6 by-g2 Active InProgress serves g1 $LATEST maximumEventAgeSeconds=60 maximumRetryAttempts=1 onFailure=b), answer record
    updateEventInvoke $LATEST /c x → existing.updating  publish (#7 by-g2 Active InProgress serves g1 $LATEST maximumEventAgeSeconds=60 maximumRetryAttempts=1 onSuccess=c), answer record
    deleteEventInvoke $LATEST x    → existing.updating  publish (#8 by-g2 Active InProgress serves g1), answer record
    "
  `)
})

test('what is set for one qualifier is not set for another', () => {
  expect(
    story(
      create(),
      put({ maximumRetryAttempts: 0 }),
      put({ maximumRetryAttempts: 1 }, 'live'),
      forget,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                     → absent
    create g1 by-g1             → existing.pending  publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    putEventInvoke $LATEST 0 x  → existing.pending  publish (#2 by-g1 Pending none serves nothing $LATEST maximumRetryAttempts=0), answer record
    putEventInvoke live 1 x     → existing.pending  publish (#3 by-g1 Pending none serves nothing $LATEST maximumRetryAttempts=0 live maximumRetryAttempts=1), answer record
    deleteEventInvoke $LATEST x → existing.pending  publish (#4 by-g1 Pending none serves nothing live maximumRetryAttempts=1), answer record
    "
  `)
})

test('what is not set for asynchronous invocation can be neither changed nor taken away', () => {
  expect(story(create(), update({ maximumRetryAttempts: 0 }), forget)).toMatchInlineSnapshot(`
    "
    (start)                       → absent
    create g1 by-g1               → existing.pending  publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    updateEventInvoke $LATEST 0 x → existing.pending  answer no event invoke config
    deleteEventInvoke $LATEST x   → existing.pending  answer no event invoke config
    "
  `)
})

test('a record that was written before there were such settings has none of them', () => {
  const life = live(functionMachine, undefined)
  life.take(create())
  const record = life.snapshot.context.record as FunctionRecord
  expect(Object.keys(record)).not.toContain('eventInvoke')
  for (const qualifier of ['$LATEST', 'constructor', '__proto__']) {
    expect(eventInvokeOf(record, qualifier)).toBeUndefined()
  }
})

test('recursion and reserved concurrency change at any time and touch neither code nor revision', () => {
  expect(
    story(create(), allow, reserve, prepared('g1'), updateCode('g2'), release),
  ).toMatchInlineSnapshot(`
    "
    (start)                  → absent
    create g1 by-g1          → existing.pending   publish (#1 by-g1 Pending none serves nothing), answer record, prepare g1
    setRecursiveLoop Allow x → existing.pending   publish (#2 by-g1 Pending none serves nothing Allow), answer record
    reserveConcurrency 0 x   → existing.pending   publish (#3 by-g1 Pending none serves nothing Allow reserves 0), answer record
    prepared g1              → existing.active    publish (#4 by-g1 Active Successful serves g1 Allow reserves 0)
    updateCode g2 by-g2      → existing.updating  publish (#5 by-g2 Active InProgress serves g1 Allow reserves 0), answer record, prepare g2
    releaseConcurrency x     → existing.updating  publish (#6 by-g2 Active InProgress serves g1 Allow), answer record
    "
  `)
})

test('a dead-letter target is part of the settings that serve, until an empty one takes it away', () => {
  const life = live(functionMachine, undefined)
  const targets = () => {
    const { record } = life.snapshot.context
    return [record?.settings.deadLetterTargetArn, record?.serving?.settings.deadLetterTargetArn]
  }
  const target = (generation: string, deadLetterTargetArn: string): FunctionEvent => ({
    type: 'updateConfiguration',
    generation,
    settings: { deadLetterTargetArn },
    ...request,
  })
  life.take(create())
  life.take(prepared('g1'))
  life.take(target('g2', 'arn'))
  expect(targets()).toEqual(['arn', undefined])
  life.take(prepared('g2'))
  life.take(updateConfiguration('g3'))
  life.take(prepared('g3'))
  expect(targets()).toEqual(['arn', 'arn'])
  life.take(target('g4', ''))
  life.take(prepared('g4'))
  expect(targets()).toEqual([undefined, undefined])
  expect(Object.keys(life.snapshot.context.record?.settings ?? {})).not.toContain(
    'deadLetterTargetArn',
  )
})

const generations = ['g1', 'g2', 'g3']
const anyEvent = fc.oneof(
  fc.constantFrom(tag, untag, remove, forget, allow, reserve, release),
  fc.constantFrom(put({ maximumRetryAttempts: 0 }), update({ onSuccess: 'a' })),
  fc
    .constantFrom(...generations)
    .chain((generation) =>
      fc.constantFrom(
        create(generation),
        updateCode(generation),
        updateCode(generation, 'by-g2'),
        updateConfiguration(generation),
        prepared(generation),
        unprepared(generation),
      ),
    ),
)

test('whatever happens, every request is answered once, steps only grow, and what serves was prepared', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      const life = live(functionMachine, undefined)
      const wasPrepared = new Set<string>()
      let step = 0
      for (const event of events) {
        if (life.isOver) break
        const preparing = life.snapshot.context.next?.id
        const { asked } = life.take(event)
        if (event.type === 'prepared' && event.generation === preparing) {
          wasPrepared.add(event.generation)
        }
        const answers = asked.filter(({ type }) => type === 'answer')
        expect(answers.length).toBe('reply' in event ? 1 : 0)
        for (const { type, params } of asked) {
          if (type !== 'publish' && type !== 'withdraw') continue
          const { record } = params as { record: FunctionRecord }
          expect(record.step).toBeGreaterThan(step)
          step = record.step
          if (record.serving !== undefined) expect(wasPrepared).toContain(record.serving.id)
          // Waiters of the SDKs wait for these two to leave Pending and InProgress.
          const isPreparing = life.snapshot.context.next !== undefined
          if (type === 'publish' && !isPreparing) {
            expect(record.state).not.toBe('Pending')
            expect(record.lastUpdate).not.toBe('InProgress')
          }
        }
      }
    }),
  )
})
