/**
 * SQS's operations on message move tasks, and the work on them: what lies in a dead-letter queue goes back to where it
 * failed, or to another queue.
 *
 * A message that is moved is a new one: it has a new id, a new age and was never received. What is in flight or delayed
 * is not moved; the task is over when nothing is visible any more.
 * Source: SQS API reference, StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask; SQS Developer Guide,
 * "Configure a dead-letter queue redrive". Sentences as recorded of AWS.
 */
import { removeMessage, storeMessage } from '../bus/sqs-message.ts'
import { isActive, type MoveStatus, type MoveTask } from '../bus/sqs-moves.ts'
import type { QueueRecord } from '../bus/sqs-queues.ts'
import { giveBack, type Received, receive } from '../bus/sqs-receive.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { badValue, refuseSqs, SqsRefused, sqsErrors } from '../edges/aws/sqs-errors.ts'
import { nameInArn, queueArn } from '../edges/aws/sqs-names.ts'
import type { SqsBinding, SqsHandler } from './sqs-binding.ts'
import { sourcesOf } from './sqs-queues.ts'

type MoveOperation = 'StartMessageMoveTask' | 'ListMessageMoveTasks' | 'CancelMessageMoveTask'

export type MoveWorker = {
  operations: Record<MoveOperation, SqsHandler>
  /** Leaves its tasks to others, and resolves when nothing is in hand. */
  stop(): Promise<void>
}

const BEAT_MS = 1_000
// A runner that has said nothing for so long is gone; longer than a nats-server takes to be restarted.
const SILENCE_MS = 15_000
const LOOK_MS = 5_000
const MOST_AT_ONCE = 100
/** Source: StartMessageMoveTask, MaxNumberOfMessagesPerSecond. */
const fastest = 500
/** Source: ListMessageMoveTasks, MaxResults. */
const mostListed = 10

export function openMoveWorker(binding: SqsBinding): MoveWorker {
  const { moves, clock, frontEndId, log } = binding
  const stopping = new AbortController()
  const inHand = new Map<string, Promise<void>>()

  /** Its runner falls silent, and somebody tries again. */
  const cutOff = ({ taskId }: MoveTask, error: unknown) =>
    log.warn({ code: 'SQS_MOVE_CUT_OFF', taskId, err: error }, 'a move task will be taken up again')

  const work = (task: MoveTask) => {
    if (inHand.has(task.taskId) || stopping.signal.aborted) return
    const done = run(binding, task, stopping.signal)
      .catch((error) => cutOff(task, error))
      .finally(() => inHand.delete(task.taskId))
    inHand.set(task.taskId, done)
  }

  const isForsaken = (task: MoveTask) =>
    isActive(task) && !inHand.has(task.taskId) && clock.nowMs() - task.beatAtMs > SILENCE_MS

  const adopt = async (task: MoveTask) => {
    const mine = await moves.change(task, (found) =>
      isForsaken(found) ? { ...found, runner: frontEndId, beatAtMs: clock.nowMs() } : undefined,
    )
    if (mine?.runner === frontEndId && isActive(mine)) work(mine)
  }

  let looking: unknown
  const look = () => {
    for (const task of moves.active()) {
      if (isForsaken(task)) adopt(task).catch((error) => cutOff(task, error))
    }
    looking = clock.setTimer(look, LOOK_MS)
  }
  look()

  return {
    operations: {
      StartMessageMoveTask: async (input) => {
        const { task, isNew } = await moves.start(await taskOf(binding, input))
        if (!isNew) {
          return refuseSqs(
            'InvalidParameterValueException',
            'There is already a task running. Only one active task is allowed for a source queue arn at a given time.',
          )
        }
        work(task)
        return { TaskHandle: handleOf(binding, task) }
      },
      ListMessageMoveTasks: async (input) => {
        const most = (input['MaxResults'] as number | undefined) ?? 1
        if (most < 1 || most > mostListed) {
          return badValue(most, 'MaxResults', `Must be between 1 and ${mostListed}, if provided.`)
        }
        const { name } = await sourceOf(binding, String(input['SourceArn']))
        const tasks = (await moves.list(name)).slice(0, most)
        return { Results: tasks.map((task) => describeTask(binding, task)) }
      },
      CancelMessageMoveTask: async (input) => {
        const { source, taskId } = await readHandle(binding, String(input['TaskHandle']))
        let isRunning = false
        const task = await moves.change({ source, taskId }, (found) => {
          isRunning = found.status === 'RUNNING'
          return isRunning ? { ...found, status: 'CANCELLING' } : undefined
        })
        if (task === undefined) return notFound('Task does not exist.')
        return isRunning
          ? { ApproximateNumberOfMessagesMoved: task.moved }
          : refuseSqs(
              'UnsupportedOperation',
              `Only active tasks can be cancelled. The task is ${task.status}.`,
            )
      },
    },
    async stop() {
      clock.clearTimer(looking)
      stopping.abort()
      await Promise.allSettled(inHand.values())
    },
  }
}

const notFound = (message: string) => refuseSqs('ResourceNotFoundException', message)

// ── What is asked ──────────────────────────────────────────────────────────────────────────────────────────────────

async function sourceOf({ queues, place }: SqsBinding, arn: string): Promise<QueueRecord> {
  if (!/^arn:[^:]+:sqs:[^:]+:[^:]+:[^:]+$/.test(arn)) {
    throw new SqsRefused(
      refuseSqs(
        'InvalidParameterValueException',
        'You must use this format to specify the SourceArn: arn:<partition>:<service>:<region>:<account-id>:<resource-id>',
      ),
    )
  }
  const record = await queues.find(nameInArn(place, arn) ?? '')
  if (record !== undefined) return record
  throw new SqsRefused(
    notFound("The resource that you specified for the SourceArn parameter doesn't exist."),
  )
}

async function taskOf(binding: SqsBinding, input: Input): Promise<MoveTask> {
  const { queues, place, clock, newId, frontEndId } = binding
  const source = await sourceOf(binding, String(input['SourceArn']))
  if (sourcesOf(binding, source.name).length === 0) {
    throw new SqsRefused(
      refuseSqs(
        'InvalidParameterValueException',
        'Source queue must be configured as a Dead Letter Queue.',
      ),
    )
  }
  const given = input['DestinationArn'] as string | undefined
  const destination = given === undefined ? undefined : nameInArn(place, given)
  if (given !== undefined && (await queues.find(destination ?? '')) === undefined) {
    throw new SqsRefused(
      notFound("The resource that you specified for the DestinationArn parameter doesn't exist."),
    )
  }
  const perSecond = input['MaxNumberOfMessagesPerSecond'] as number | undefined
  if (perSecond !== undefined && (perSecond < 1 || perSecond > fastest)) {
    throw new SqsRefused(
      badValue(
        perSecond,
        'MaxNumberOfMessagesPerSecond',
        `Must be between 1 and ${fastest}, if provided.`,
      ),
    )
  }
  const { waiting } = await queues.counts(source)
  const nowMs = clock.nowMs()
  return {
    taskId: newId(),
    source: source.name,
    ...(destination === undefined ? {} : { destination }),
    ...(perSecond === undefined ? {} : { maxPerSecond: perSecond }),
    startedAtMs: nowMs,
    status: 'RUNNING',
    toMove: waiting,
    moved: 0,
    runner: frontEndId,
    beatAtMs: nowMs,
  }
}

const handleOf = ({ place }: SqsBinding, { taskId, source }: MoveTask): string =>
  Buffer.from(JSON.stringify({ taskId, sourceArn: queueArn(place, source) })).toString('base64')

async function readHandle(binding: SqsBinding, handle: string) {
  let read: { taskId?: unknown; sourceArn?: unknown } = {}
  try {
    read = JSON.parse(Buffer.from(handle, 'base64').toString()) ?? {}
  } catch {}
  const { taskId, sourceArn } = read
  if (typeof taskId !== 'string' || typeof sourceArn !== 'string') {
    throw new SqsRefused(
      refuseSqs('InvalidParameterValueException', 'Value for parameter TaskHandle is invalid.'),
    )
  }
  const { name } = await sourceOf(binding, sourceArn)
  return { source: name, taskId }
}

function describeTask(binding: SqsBinding, task: MoveTask): object {
  const { place } = binding
  const { destination, maxPerSecond, failure } = task
  return {
    ...(task.status === 'RUNNING' ? { TaskHandle: handleOf(binding, task) } : {}),
    Status: task.status,
    SourceArn: queueArn(place, task.source),
    ...(destination === undefined ? {} : { DestinationArn: queueArn(place, destination) }),
    ...(maxPerSecond === undefined ? {} : { MaxNumberOfMessagesPerSecond: maxPerSecond }),
    ApproximateNumberOfMessagesMoved: task.moved,
    ApproximateNumberOfMessagesToMove: task.toMove,
    ...(failure === undefined ? {} : { FailureReason: failure }),
    StartedTimestamp: task.startedAtMs,
  }
}

// ── The work ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** AWS's word for a message that was sent to the dead-letter queue by hand. */
const noSource = 'CouldNotDetermineMessageSource'

async function run(binding: SqsBinding, task: MoveTask, signal: AbortSignal): Promise<void> {
  const { bus, queues, moves, clock, frontEndId } = binding
  const started = { moved: task.moved, atMs: clock.monotonicMs() }
  let { moved } = task
  let beatMs = clock.monotonicMs()

  /** Says how far it is; gives what others want of it. */
  const say = async (status?: MoveStatus, failure?: string) => {
    beatMs = clock.monotonicMs()
    return await moves.change(task, (found) =>
      found.runner === frontEndId && isActive(found)
        ? {
            ...found,
            moved,
            status: status ?? found.status,
            // Who stops leaves it to others at once.
            beatAtMs: signal.aborted ? 0 : clock.nowMs(),
            ...(failure === undefined ? {} : { failure }),
          }
        : undefined,
    )
  }

  while (!signal.aborted) {
    const source = await queues.find(task.source)
    if (source === undefined) {
      await say('FAILED', sqsErrors.QueueDoesNotExist.queryCode)
      return
    }
    const most = Math.min(task.maxPerSecond ?? MOST_AT_ONCE, MOST_AT_ONCE)
    const received = await receive(bus, queues, source, { most, waitMs: 0, signal })
    if (received.length === 0 && !signal.aborted) {
      await say('COMPLETED')
      return
    }
    const failures = await Promise.all(received.map((one) => move(binding, task, source, one)))
    moved += failures.filter((failure) => failure === undefined).length
    const failure = failures.find((each) => each !== undefined)
    if (failure !== undefined) {
      await say('FAILED', failure)
      return
    }
    if (clock.monotonicMs() - beatMs >= BEAT_MS || task.maxPerSecond !== undefined) {
      const told = await say()
      if (told?.status === 'CANCELLING') {
        await say('CANCELLED')
        return
      }
      if (told?.runner !== frontEndId || !isActive(told)) return
    }
    const dueMs = ((moved - started.moved) / (task.maxPerSecond ?? Infinity)) * 1000
    await sleep(binding, started.atMs + dueMs - clock.monotonicMs(), signal)
  }
  await say()
}

/** Moves one message; gives why it did not. */
async function move(
  { bus, queues, inFlight, clock, newId }: SqsBinding,
  task: MoveTask,
  source: QueueRecord,
  { delivery, message }: Received,
): Promise<string | undefined> {
  const name = task.destination ?? message.deadLetterSource
  const destination = name === undefined ? undefined : await queues.find(name)
  if (destination === undefined) {
    giveBack(bus, delivery)
    return name === undefined ? noSource : sqsErrors.QueueDoesNotExist.queryCode
  }
  const { body, attributes, traceHeader } = message
  await storeMessage(
    bus,
    destination,
    {
      messageId: newId(),
      body,
      attributes,
      sentAtMs: clock.nowMs(),
      ...(traceHeader === undefined ? {} : { traceHeader }),
    },
    { deduplicationId: `move:${task.taskId}:${delivery.sequence}` },
  )
  await removeMessage(bus, delivery.sequence)
  inFlight.gone(source.incarnation, delivery.sequence)
  return undefined
}

function sleep({ clock }: SqsBinding, ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = clock.setTimer(end, ms)
    signal.addEventListener('abort', end)
    function end(): void {
      clock.clearTimer(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
  })
}
