/**
 * What a message may be, and what of it a receiver asked for.
 *
 * Source: SQS API reference, SendMessage and ReceiveMessage; SQS Developer Guide, "Amazon SQS message metadata" and
 * "Message quotas". Sentences as recorded of AWS, or as its services answer with.
 */
import { messageBytes } from '../../bus/sqs-delivery.ts'
import type { MessageAttribute, MessageAttributes, QueueMessage } from '../../bus/sqs-message.ts'
import type { QueueSettings } from '../../bus/sqs-queues.ts'
import type { Input } from './constraints.ts'
import type { Place } from './names.ts'
import { badValue, missing, refuseSqs, type SqsRefusal, unhonoured } from './sqs-errors.ts'
import { md5OfAttributes, md5OfBody } from './sqs-md5.ts'
import { queueArn } from './sqs-names.ts'

export type NewMessage = {
  body: Uint8Array
  attributes: MessageAttributes
  traceHeader: string | undefined
  delaySeconds: number
  /** What counts against the maxima of a queue and of a batch. */
  bytes: number
}

const mostAttributes = 10
const longestName = 256
const longestDelaySeconds = 900
const encoder = new TextEncoder()

const invalid = (message: string) => refuseSqs('InvalidParameterValueException', message)

/** A message of SendMessage, or of one entry of a batch. Its size is for the caller to look at. */
export function readNewMessage(input: Input, settings: QueueSettings): NewMessage | SqsRefusal {
  const body = input['MessageBody'] as string | undefined
  if (body === undefined || body === '') return missing('MessageBody')
  const attributes = (input['MessageAttributes'] ?? {}) as MessageAttributes
  const system = (input['MessageSystemAttributes'] ?? {}) as MessageAttributes
  const delaySeconds = (input['DelaySeconds'] as number | undefined) ?? settings.delaySeconds
  const refusal =
    checkText(body) ??
    checkFifo(input) ??
    checkDelay(delaySeconds) ??
    checkAttributes(attributes) ??
    checkSystemAttributes(system)
  if (refusal !== undefined) return refusal
  const encoded = encoder.encode(body)
  const plain = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, storedValue(value)]),
  )
  return {
    body: encoded,
    attributes: plain,
    traceHeader: system['AWSTraceHeader']?.StringValue,
    delaySeconds,
    bytes: messageBytes(encoded, plain),
  }
}

/** Without the lists, which the model has and SQS does not. */
const storedValue = ({ DataType, StringValue, BinaryValue }: MessageAttribute): MessageAttribute =>
  StringValue === undefined
    ? { DataType, BinaryValue: BinaryValue ?? '' }
    : { DataType, StringValue }

/** XML 1.0's characters. */
function checkText(text: string): SqsRefusal | undefined {
  return /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u.test(text)
    ? refuseSqs(
        'InvalidMessageContents',
        'Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF',
      )
    : undefined
}

const ofFifoOnly = (parameter: string, value: unknown): SqsRefusal =>
  badValue(value, parameter, 'The request include parameter that is not valid for this queue type.')

function checkFifo(input: Input): SqsRefusal | undefined {
  if (input['MessageDeduplicationId'] !== undefined) {
    return ofFifoOnly('MessageDeduplicationId', input['MessageDeduplicationId'])
  }
  return input['MessageGroupId'] === undefined
    ? undefined
    : unhonoured('share a queue fairly (MessageGroupId)')
}

const checkDelay = (seconds: number): SqsRefusal | undefined =>
  seconds >= 0 && seconds <= longestDelaySeconds
    ? undefined
    : badValue(seconds, 'DelaySeconds', `DelaySeconds must be >= 0 and <= ${longestDelaySeconds}.`)

function checkAttributes(attributes: MessageAttributes): SqsRefusal | undefined {
  const entries = Object.entries(attributes)
  if (entries.length > mostAttributes) {
    return invalid(
      `Number of message attributes [${entries.length}] exceeds the allowed maximum [${mostAttributes}].`,
    )
  }
  for (const [name, value] of entries) {
    const refusal = checkAttributeName(name) ?? checkAttributeValue(name, value)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

function checkAttributeName(name: string): SqsRefusal | undefined {
  if (name.length > longestName) {
    return invalid('Message (user) attribute names must be shorter than 256 Bytes')
  }
  if (!/^[\w-]+(\.[\w-]+)*$/.test(name)) {
    return invalid(
      'Message (user) attributes name can only contain upper and lower score characters, digits, periods, hyphens and underscores. ',
    )
  }
  return /^(aws|amazon)\./i.test(name)
    ? invalid(
        "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.",
      )
    : undefined
}

function checkAttributeValue(name: string, value: MessageAttribute): SqsRefusal | undefined {
  const { DataType, StringValue, BinaryValue } = value
  if ('StringListValues' in value || 'BinaryListValues' in value) {
    return refuseSqs(
      'UnsupportedOperation',
      'Message attribute list values in SendMessage operation are not supported.',
    )
  }
  const kind = /^(String|Number|Binary)(?:\..+)?$/s.exec(DataType ?? '')?.[1]
  if (kind === undefined) {
    return invalid(
      `The message attribute '${name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.`,
    )
  }
  if (DataType.length > longestName) {
    return invalid('Message (user) attribute types must be shorter than 256 Bytes')
  }
  const given = kind === 'Binary' ? BinaryValue : StringValue
  if (given === undefined || given === '') {
    return invalid(
      `Message (user) attribute '${name}' must contain a non-empty value of type '${kind === 'Number' ? 'String' : kind}'.`,
    )
  }
  if (kind === 'Number' && !isNumber(given)) {
    return invalid(`Can't cast the value of message (user) attribute '${name}' to a number.`)
  }
  return kind === 'Binary' ? undefined : checkText(given)
}

const isNumber = (text: string) => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)

function checkSystemAttributes(attributes: MessageAttributes): SqsRefusal | undefined {
  for (const [name, { DataType, StringValue }] of Object.entries(attributes)) {
    if (name !== 'AWSTraceHeader') {
      return invalid(`Message system attribute name '${name}' is invalid.`)
    }
    if (DataType !== 'String' || StringValue === undefined || StringValue === '') {
      return invalid(
        `Message system attribute '${name}' must contain a non-empty value of type 'String'.`,
      )
    }
  }
  return undefined
}

/** `cannot be validated` is what an entry of a batch is told. */
export const tooLong = (most: number, how: 'are invalid' | 'cannot be validated'): SqsRefusal =>
  invalid(`One or more parameters ${how}. Reason: Message must be shorter than ${most} bytes.`)

/** What SendMessage answers. */
export function describeSent(messageId: string, { body, attributes, traceHeader }: NewMessage) {
  const system = { AWSTraceHeader: { DataType: 'String', StringValue: traceHeader ?? '' } }
  return withoutUndefined({
    MessageId: messageId,
    MD5OfMessageBody: md5OfBody(body),
    MD5OfMessageAttributes: md5OfAttributes(attributes),
    MD5OfMessageSystemAttributes: traceHeader === undefined ? undefined : md5OfAttributes(system),
  })
}

// ── Receiving ──────────────────────────────────────────────────────────────────────────────────────────────────────

export type ReceiveRequest = {
  most: number
  waitSeconds: number
  visibilitySeconds: number
  systemNames: readonly string[]
  names: readonly string[]
}

const systemAttributes = [
  'All',
  'ApproximateFirstReceiveTimestamp',
  'ApproximateReceiveCount',
  'AWSTraceHeader',
  'DeadLetterQueueSourceArn',
  'MessageDeduplicationId',
  'MessageGroupId',
  'SenderId',
  'SentTimestamp',
  'SequenceNumber',
]
const mostMessages = 10
const longestWaitSeconds = 20
export const longestVisibilitySeconds = 43_200

export function readReceive(input: Input, settings: QueueSettings): ReceiveRequest | SqsRefusal {
  const attempt = input['ReceiveRequestAttemptId']
  if (attempt !== undefined) return ofFifoOnly('ReceiveRequestAttemptId', attempt)
  const number = (name: string, otherwise: number) =>
    (input[name] as number | undefined) ?? otherwise
  const names = (name: string) => (input[name] ?? []) as string[]
  const most = number('MaxNumberOfMessages', 1)
  if (most < 1 || most > mostMessages) {
    return badValue(most, 'MaxNumberOfMessages', 'Must be between 1 and 10, if provided.')
  }
  const waitSeconds = number('WaitTimeSeconds', settings.receiveWaitSeconds)
  if (waitSeconds < 0 || waitSeconds > longestWaitSeconds) {
    return badValue(waitSeconds, 'WaitTimeSeconds', 'Must be >= 0 and <= 20, if provided.')
  }
  const visibilitySeconds = number('VisibilityTimeout', settings.visibilitySeconds)
  const systemNames = [...names('AttributeNames'), ...names('MessageSystemAttributeNames')]
  const unknown = systemNames.find((name) => !systemAttributes.includes(name))
  if (unknown !== undefined) {
    return refuseSqs('InvalidAttributeName', `Unknown Attribute ${unknown}.`)
  }
  return (
    checkVisibility(visibilitySeconds) ?? {
      most,
      waitSeconds,
      visibilitySeconds,
      systemNames,
      names: names('MessageAttributeNames'),
    }
  )
}

export const checkVisibility = (seconds: number): SqsRefusal | undefined =>
  seconds >= 0 && seconds <= longestVisibilitySeconds
    ? undefined
    : badValue(
        seconds,
        'VisibilityTimeout',
        'VisibilityTimeout must be an integer between 0 and 43200.',
      )

export type ReceivedMessage = {
  message: QueueMessage
  receiptHandle: string
  /** This time included. */
  receives: number
  firstReceivedAtMs: number
}

// A byte order mark is part of the body.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** A message as ReceiveMessage answers with it. */
export function describeReceived(
  { message, receiptHandle, receives, firstReceivedAtMs }: ReceivedMessage,
  { systemNames, names }: Pick<ReceiveRequest, 'systemNames' | 'names'>,
  place: Place,
) {
  const attributes = chosen(message.attributes, names)
  const { deadLetterSource } = message
  const system = withoutUndefined({
    // Whoever holds the account's only key.
    SenderId: place.account,
    ApproximateFirstReceiveTimestamp: String(firstReceivedAtMs),
    ApproximateReceiveCount: String(receives),
    SentTimestamp: String(message.sentAtMs),
    AWSTraceHeader: message.traceHeader,
    DeadLetterQueueSourceArn: deadLetterSource && queueArn(place, deadLetterSource),
  })
  const asked = Object.entries(system).filter(
    ([name]) => systemNames.includes('All') || systemNames.includes(name),
  )
  const hasAttributes = Object.keys(attributes).length > 0
  return withoutUndefined({
    MessageId: message.messageId,
    ReceiptHandle: receiptHandle,
    MD5OfBody: md5OfBody(message.body),
    Body: decoder.decode(message.body),
    Attributes: asked.length === 0 ? undefined : Object.fromEntries(asked),
    MD5OfMessageAttributes: md5OfAttributes(attributes),
    MessageAttributes: hasAttributes ? attributes : undefined,
  })
}

/** By `All`, by name, or by the beginning of a name: `bar.*`. */
function chosen(attributes: MessageAttributes, names: readonly string[]): MessageAttributes {
  const isAll = names.some((name) => name === 'All' || name === '*' || name === '.*')
  const beginnings = names.filter((name) => name.endsWith('.*')).map((name) => name.slice(0, -2))
  return Object.fromEntries(
    Object.entries(attributes).filter(
      ([name]) =>
        isAll || names.includes(name) || beginnings.some((beginning) => name.startsWith(beginning)),
    ),
  )
}

function withoutUndefined<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Partial<T>
}
