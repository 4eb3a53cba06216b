/**
 * Attributes of a queue, which SQS has as texts, to its settings and back.
 *
 * Source: SQS API reference, CreateQueue, SetQueueAttributes and GetQueueAttributes; the sentences were recorded of AWS.
 */
import type { QueueCounts, QueueRecord, QueueSettings } from '../../bus/sqs-queues.ts'
import type { Place } from './names.ts'
import { badValue, refuseSqs, type SqsRefusal, unhonoured } from './sqs-errors.ts'
import { nameInArn, queueArn } from './sqs-names.ts'

/** The largest since August 2025, and the default. */
export const largestMessageBytes = 1_048_576

export const defaultSettings: QueueSettings = {
  delaySeconds: 0,
  maximumMessageBytes: largestMessageBytes,
  retentionSeconds: 345_600,
  receiveWaitSeconds: 0,
  visibilitySeconds: 30,
}

type NumberSetting = {
  [Name in keyof QueueSettings]-?: QueueSettings[Name] extends number ? Name : never
}[keyof QueueSettings]

const numbers: Record<string, { setting: NumberSetting; from: number; to: number }> = {
  DelaySeconds: { setting: 'delaySeconds', from: 0, to: 900 },
  MaximumMessageSize: { setting: 'maximumMessageBytes', from: 1_024, to: largestMessageBytes },
  MessageRetentionPeriod: { setting: 'retentionSeconds', from: 60, to: 1_209_600 },
  ReceiveMessageWaitTimeSeconds: { setting: 'receiveWaitSeconds', from: 0, to: 20 },
  VisibilityTimeout: { setting: 'visibilitySeconds', from: 0, to: 43_200 },
}

/** Settings that are not built, and the value of each that asks for nothing. */
const unbuilt: Record<string, { nothing: string; feature: string }> = {
  Policy: { nothing: '', feature: 'have policies of queues (Policy)' },
  KmsMasterKeyId: { nothing: '', feature: 'encrypt queues (KmsMasterKeyId)' },
  KmsDataKeyReusePeriodSeconds: {
    nothing: '',
    feature: 'encrypt queues (KmsDataKeyReusePeriodSeconds)',
  },
  SqsManagedSseEnabled: {
    nothing: 'false',
    feature: 'encrypt queues (SqsManagedSseEnabled)',
  },
}

const fifoOnly = ['DeduplicationScope', 'FifoThroughputLimit']

const unknownAttribute = (name: string) =>
  refuseSqs('InvalidAttributeName', `Unknown Attribute ${name}.`)

/** What the settings become with these attributes. That queues named in them exist is for the caller to see. */
export function withAttributes(
  settings: QueueSettings,
  attributes: Record<string, string>,
  place: Place,
): QueueSettings | SqsRefusal {
  let changed = settings
  for (const [name, value] of Object.entries(attributes)) {
    const next = withAttribute(changed, name, value, place)
    if ('refused' in next) return next
    changed = next
  }
  return changed
}

function withAttribute(
  settings: QueueSettings,
  name: string,
  value: string,
  place: Place,
): QueueSettings | SqsRefusal {
  const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined
  if (number !== undefined) {
    const { setting, from, to } = number
    const isNumber = /^\d{1,9}$/.test(value)
    return isNumber && Number(value) >= from && Number(value) <= to
      ? { ...settings, [setting]: Number(value) }
      : refuseSqs('InvalidAttributeValue', `Invalid value for the parameter ${name}.`)
  }
  if (name === 'RedrivePolicy') return withRedrive(settings, value, place)
  if (name === 'RedriveAllowPolicy') return withRedriveAllow(settings, value, place)
  return Object.hasOwn(unbuilt, name) && unbuilt[name]?.nothing === value
    ? settings
    : refuseAttribute(name, value)
}

function refuseAttribute(name: string, value: string): SqsRefusal {
  const feature = Object.hasOwn(unbuilt, name) ? unbuilt[name]?.feature : undefined
  if (feature !== undefined) return unhonoured(feature)
  if (name === 'FifoQueue' && value === 'true') return unhonoured('have FIFO queues')
  return fifoOnly.includes(name)
    ? refuseSqs(
        'InvalidAttributeName',
        `You can specify the ${name} only when FifoQueue is set to true.`,
      )
    : unknownAttribute(name)
}

function withRedrive(
  settings: QueueSettings,
  value: string,
  place: Place,
): QueueSettings | SqsRefusal {
  const { redrive: _, ...others } = settings
  if (value === '') return others
  const bad = (reason: string) => badValue(value, 'RedrivePolicy', reason)
  const policy = jsonObject(value)
  if (policy === undefined) return bad('Redrive policy is not a valid JSON map.')
  for (const name of ['deadLetterTargetArn', 'maxReceiveCount']) {
    if (policy[name] === undefined) {
      return bad(`Redrive policy does not contain mandatory attribute: ${name}.`)
    }
  }
  const given = policy['maxReceiveCount']
  const maxReceiveCount = /^\d{1,4}$/.test(String(given)) ? Number(given) : 0
  if (maxReceiveCount < 1 || maxReceiveCount > 1000) {
    return bad(
      `Invalid value for maxReceiveCount: ${given}, valid values are from 1 to 1000 both inclusive.`,
    )
  }
  const deadLetterQueue = nameInArn(place, String(policy['deadLetterTargetArn']))
  return deadLetterQueue === undefined
    ? noDeadLetterQueue(value)
    : { ...others, redrive: { deadLetterQueue, maxReceiveCount } }
}

export const noDeadLetterQueue = (policy: string): SqsRefusal =>
  badValue(policy, 'RedrivePolicy', 'Dead letter target does not exist.')

const mostSources = 10

function withRedriveAllow(
  settings: QueueSettings,
  value: string,
  place: Place,
): QueueSettings | SqsRefusal {
  const { redriveAllow: _, ...others } = settings
  if (value === '') return others
  const bad = () =>
    badValue(
      value,
      'RedriveAllowPolicy',
      "Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.",
    )
  const policy = jsonObject(value)
  const permission = policy?.['redrivePermission']
  const arns = policy?.['sourceQueueArns']
  if (permission === 'allowAll' || permission === 'denyAll') {
    return arns === undefined ? { ...others, redriveAllow: { permission } } : bad()
  }
  if (permission !== 'byQueue' || !Array.isArray(arns)) return bad()
  const queues = arns.map((arn) => nameInArn(place, String(arn)))
  const isGood = queues.length >= 1 && queues.length <= mostSources
  return isGood && queues.every((name) => name !== undefined)
    ? { ...others, redriveAllow: { permission, queues: queues as string[] } }
    : bad()
}

/** Whether a queue may name this one as its dead-letter queue. */
export function mayRedrive({ redriveAllow }: QueueSettings, source: string): boolean {
  if (redriveAllow === undefined || redriveAllow.permission === 'allowAll') return true
  return redriveAllow.permission === 'byQueue' && redriveAllow.queues.includes(source)
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** The settings as attributes. */
export function settingsAsAttributes(
  settings: QueueSettings,
  place: Place,
): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const [name, { setting }] of Object.entries(numbers)) {
    attributes[name] = String(settings[setting])
  }
  const { redrive, redriveAllow } = settings
  if (redrive !== undefined) {
    attributes['RedrivePolicy'] = JSON.stringify({
      deadLetterTargetArn: queueArn(place, redrive.deadLetterQueue),
      maxReceiveCount: redrive.maxReceiveCount,
    })
  }
  if (redriveAllow !== undefined) {
    attributes['RedriveAllowPolicy'] = JSON.stringify({
      redrivePermission: redriveAllow.permission,
      ...(redriveAllow.permission === 'byQueue'
        ? { sourceQueueArns: redriveAllow.queues.map((name) => queueArn(place, name)) }
        : {}),
    })
  }
  return attributes
}

const counted = [
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesNotVisible',
  'ApproximateNumberOfMessagesDelayed',
]
/** What may be asked for and need not be there. */
const readable = new Set([
  'All',
  'QueueArn',
  'CreatedTimestamp',
  'LastModifiedTimestamp',
  'RedrivePolicy',
  'RedriveAllowPolicy',
  'FifoQueue',
  'ContentBasedDeduplication',
  ...counted,
  ...fifoOnly,
  ...Object.keys(numbers),
  ...Object.keys(unbuilt),
])

export const checkAttributeNames = (names: readonly string[]): SqsRefusal | undefined => {
  const unknown = names.find((name) => !readable.has(name))
  return unknown === undefined ? undefined : unknownAttribute(unknown)
}

/** Whether the counts have to be asked for. */
export const wantsCounts = (names: readonly string[]): boolean =>
  names.some((name) => name === 'All' || counted.includes(name))

/** Those of a queue's attributes that were asked for. Times are in seconds since 1970. */
export function describeQueue(
  names: readonly string[],
  record: QueueRecord,
  counts: QueueCounts,
  place: Place,
): Record<string, string> {
  const all: Record<string, string> = {
    QueueArn: queueArn(place, record.name),
    ApproximateNumberOfMessages: String(counts.waiting),
    ApproximateNumberOfMessagesNotVisible: String(counts.inFlight),
    ApproximateNumberOfMessagesDelayed: String(counts.delayed),
    CreatedTimestamp: String(Math.floor(record.createdAtMs / 1000)),
    LastModifiedTimestamp: String(Math.floor(record.modifiedAtMs / 1000)),
    ...settingsAsAttributes(record.settings, place),
    SqsManagedSseEnabled: 'false',
  }
  if (names.includes('All')) return all
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))
}

/** The first of the given attributes in which two settings differ. */
export function differingAttribute(
  names: readonly string[],
  [one, other]: readonly [QueueSettings, QueueSettings],
  place: Place,
): string | undefined {
  const [ours, theirs] = [settingsAsAttributes(one, place), settingsAsAttributes(other, place)]
  return names.find((name) => ours[name] !== theirs[name])
}
