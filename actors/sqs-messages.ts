/**
 * SQS's operations on messages: send, receive, delete, make visible again.
 *
 * Source: SQS API reference of each; SQS Developer Guide, "Amazon SQS visibility timeout" and "dead-letter queues".
 */
import { messageExists, removeMessage, storeMessage } from '../bus/sqs-message.ts'
import type { QueueRecord } from '../bus/sqs-queues.ts'
import { giveBack, makeVisibleIn, type Received, receive } from '../bus/sqs-receive.ts'
import { sqsConsumer } from '../bus/subjects.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { largestMessageBytes, mayRedrive } from '../edges/aws/sqs-attributes.ts'
import {
  badValue,
  isSqsRefusal,
  missing,
  refuseSqs,
  type SqsRefusal,
  SqsRefused,
} from '../edges/aws/sqs-errors.ts'
import {
  checkVisibility,
  describeReceived,
  describeSent,
  longestVisibilitySeconds,
  type NewMessage,
  type ReceiveRequest,
  readNewMessage,
  readReceive,
  tooLong,
} from '../edges/aws/sqs-messages.ts'
import { readReceipt, writeReceipt } from '../edges/aws/sqs-receipt.ts'
import {
  allowed,
  entriesOf,
  performEach,
  queueOf,
  type SqsBinding,
  type SqsHandler,
} from './sqs-binding.ts'

type MessageOperation =
  | 'SendMessage'
  | 'SendMessageBatch'
  | 'ReceiveMessage'
  | 'DeleteMessage'
  | 'DeleteMessageBatch'
  | 'ChangeMessageVisibility'
  | 'ChangeMessageVisibilityBatch'

export function messageOperations(binding: SqsBinding): Record<MessageOperation, SqsHandler> {
  const change = visibilityChanger(binding)
  const remove = remover(binding)
  return {
    SendMessage: async (input) => {
      const queue = await queueOf(binding, input)
      const message = allowed(readNewMessage(input, queue.settings))
      const most = queue.settings.maximumMessageBytes
      if (message.bytes > most) return tooLong(most, 'are invalid')
      return await send(binding, queue, message)
    },
    SendMessageBatch: async (input) => await sendBatch(binding, input),
    ReceiveMessage: async (input, { signal }) => {
      const queue = await queueOf(binding, input)
      const request = allowed(readReceive(input, queue.settings))
      const received = await receiveFrom(binding, queue, request, signal)
      return received.length === 0 ? {} : { Messages: received }
    },
    DeleteMessage: async (input) => remove(await queueOf(binding, input), input),
    DeleteMessageBatch: async (input) => {
      const queue = await queueOf(binding, input)
      const entries = entriesOf(input, 'DeleteMessageBatch')
      return await performEach(entries, (entry) => remove(queue, entry))
    },
    ChangeMessageVisibility: async (input) => change(await queueOf(binding, input), input),
    ChangeMessageVisibilityBatch: async (input) => {
      const queue = await queueOf(binding, input)
      const entries = entriesOf(input, 'ChangeMessageVisibilityBatch')
      return await performEach(entries, (entry) => change(queue, entry))
    },
  }
}

// ── Sending ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function send(
  { bus, clock, newId }: SqsBinding,
  queue: QueueRecord,
  message: NewMessage,
): Promise<object> {
  const { body, attributes, traceHeader, delaySeconds } = message
  const messageId = newId()
  const stored = { messageId, body, attributes, sentAtMs: clock.nowMs() }
  await storeMessage(bus, queue, traceHeader === undefined ? stored : { ...stored, traceHeader }, {
    delaySeconds,
  })
  return describeSent(messageId, message)
}

async function sendBatch(binding: SqsBinding, input: Input): Promise<object> {
  const queue = await queueOf(binding, input)
  const most = queue.settings.maximumMessageBytes
  const entries = entriesOf(input, 'SendMessageBatch')
  const messages = new Map(
    entries.map((entry) => [entry, readNewMessage(entry, queue.settings)] as const),
  )
  const bytes = [...messages.values()].reduce(
    (sum, message) => sum + (isSqsRefusal(message) ? 0 : message.bytes),
    0,
  )
  if (bytes > largestMessageBytes) {
    return refuseSqs(
      'BatchRequestTooLong',
      `Batch requests cannot be longer than ${largestMessageBytes} bytes. You have sent ${bytes} bytes.`,
    )
  }
  return await performEach(entries, async (entry) => {
    const message = messages.get(entry) ?? missing('MessageBody')
    if (isSqsRefusal(message)) return message
    return message.bytes > most
      ? tooLong(most, 'cannot be validated')
      : await send(binding, queue, message)
  })
}

// ── Receiving ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function receiveFrom(
  binding: SqsBinding,
  queue: QueueRecord,
  request: ReceiveRequest,
  signal: AbortSignal,
): Promise<object[]> {
  const { bus, queues, clock } = binding
  const until = clock.monotonicMs() + request.waitSeconds * 1000
  for (;;) {
    const waitMs = Math.max(0, until - clock.monotonicMs())
    const pulled = await receive(bus, queues, queue, { most: request.most, waitMs, signal })
    // What is over or dead is put away here, and makes room for what comes behind it.
    const kept = await Promise.all(pulled.map((one) => settle(binding, queue, request, one)))
    const received = kept.filter((one) => one !== undefined)
    if (pulled.length === 0) return []
    if (signal.aborted) {
      for (const { delivery } of pulled) giveBack(bus, delivery)
      return []
    }
    if (received.length > 0) return received
  }
}

/** What the caller gets of a message, if it is still his. */
async function settle(
  binding: SqsBinding,
  queue: QueueRecord,
  request: ReceiveRequest,
  received: Received,
): Promise<object | undefined> {
  const { delivery, message } = received
  const { bus, inFlight, clock, place, log } = binding
  const { retentionSeconds, visibilitySeconds } = queue.settings
  const nowMs = clock.nowMs()
  try {
    // The queue keeps messages for less time now than when this one was sent.
    if (nowMs - message.sentAtMs > retentionSeconds * 1000) {
      await removeMessage(bus, delivery.sequence)
      return undefined
    }
    if (await isBuried(binding, queue, received)) return undefined
    if (request.visibilitySeconds !== visibilitySeconds || request.visibilitySeconds === 0) {
      await makeVisibleIn(bus, delivery, request.visibilitySeconds * 1000)
    }
  } catch (error) {
    log.warn({ code: 'SQS_GIVEN_BACK', queue: queue.name, err: error }, 'a message is given back')
    giveBack(bus, delivery)
    return undefined
  }
  const firstReceivedAtMs = inFlight.given(queue.incarnation, delivery.sequence, {
    deliveries: delivery.deliveries,
    visibleAtMs: nowMs + request.visibilitySeconds * 1000,
    nowMs,
  })
  return describeReceived(
    {
      message,
      receiptHandle: writeReceipt({ delivery, receivedAtMs: nowMs }),
      receives: (message.earlierReceives ?? 0) + delivery.deliveries,
      firstReceivedAtMs,
    },
    request,
    place,
  )
}

/**
 * Moves a message that was received too often to the dead-letter queue, and says whether it did. It keeps its id, its age
 * and its count. While there is no such queue it stays where it is, and is received on.
 */
async function isBuried(
  { bus, queues, inFlight, clock }: SqsBinding,
  queue: QueueRecord,
  { delivery, message }: Received,
): Promise<boolean> {
  const { redrive } = queue.settings
  if (redrive === undefined || delivery.deliveries <= redrive.maxReceiveCount) return false
  const grave = await queues.find(redrive.deadLetterQueue)
  if (grave === undefined || !mayRedrive(grave.settings, queue.name)) return false
  const ageMs = clock.nowMs() - message.sentAtMs
  await storeMessage(
    bus,
    grave,
    {
      ...message,
      earlierReceives: (message.earlierReceives ?? 0) + delivery.deliveries - 1,
      deadLetterSource: queue.name,
    },
    {
      deduplicationId: `dead:${queue.incarnation}:${delivery.sequence}`,
      timeToLiveMs: grave.settings.retentionSeconds * 1000 - ageMs,
    },
  )
  await removeMessage(bus, delivery.sequence)
  inFlight.gone(queue.incarnation, delivery.sequence)
  return true
}

// ── What is said of a message that was received ────────────────────────────────────────────────────────────────────

function receiptOf(queue: QueueRecord, input: Input) {
  const consumer = sqsConsumer(queue.name, queue.incarnation)
  return allowed(readReceipt(String(input['ReceiptHandle']), consumer))
}

function remover({ bus, inFlight }: SqsBinding) {
  return async (queue: QueueRecord, input: Input): Promise<object | SqsRefusal> => {
    const { sequence } = receiptOf(queue, input).delivery
    await removeMessage(bus, sequence)
    inFlight.gone(queue.incarnation, sequence)
    return {}
  }
}

function visibilityChanger({ bus, inFlight, clock }: SqsBinding) {
  return async (queue: QueueRecord, input: Input): Promise<object | SqsRefusal> => {
    const seconds = input['VisibilityTimeout'] as number | undefined
    if (seconds === undefined) return missing('VisibilityTimeout')
    const bad = checkVisibility(seconds)
    if (bad !== undefined) return bad
    const { delivery, receivedAtMs } = receiptOf(queue, input)
    const nowMs = clock.nowMs()
    if (nowMs - receivedAtMs + seconds * 1000 > longestVisibilitySeconds * 1000) {
      return badValue(
        seconds,
        'VisibilityTimeout',
        `Total VisibilityTimeout for the message is beyond the limit [${longestVisibilitySeconds} seconds].`,
      )
    }
    const { sequence, deliveries } = delivery
    const isOver = inFlight.isOver(queue.incarnation, sequence, deliveries, nowMs)
    if (isOver || !(await messageExists(bus, queue, sequence))) {
      throw new SqsRefused(
        badValue(
          input['ReceiptHandle'],
          'ReceiptHandle',
          'Message does not exist or is not available for visibility timeout change.',
        ),
      )
    }
    await makeVisibleIn(bus, delivery, seconds * 1000)
    inFlight.visibleAt(queue.incarnation, sequence, nowMs + seconds * 1000)
    return {}
  }
}
