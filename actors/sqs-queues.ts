/**
 * SQS's operations on queues: make, find, describe, change, tag, empty and delete them.
 *
 * Source: SQS API reference of each. Where AWS is slow we are not, and do not pretend to be: a queue of a deleted one's name
 * may be made at once (AWS: after 60 seconds), and a purge is done when it is answered and may be repeated at once.
 */
import type { QueueRecord, QueueSettings } from '../bus/sqs-queues.ts'
import type { Input } from '../edges/aws/constraints.ts'
import {
  checkAttributeNames,
  defaultSettings,
  describeQueue,
  differingAttribute,
  mayRedrive,
  noDeadLetterQueue,
  wantsCounts,
  withAttributes,
} from '../edges/aws/sqs-attributes.ts'
import {
  badValue,
  missing,
  noSuchQueue,
  refuseSqs,
  type SqsRefusal,
  SqsRefused,
} from '../edges/aws/sqs-errors.ts'
import { checkQueueName, queueUrl } from '../edges/aws/sqs-names.ts'
import { allowed, queueOf, type SqsBinding, type SqsHandler } from './sqs-binding.ts'

type QueueOperation =
  | 'CreateQueue'
  | 'DeleteQueue'
  | 'GetQueueAttributes'
  | 'GetQueueUrl'
  | 'ListDeadLetterSourceQueues'
  | 'ListQueues'
  | 'ListQueueTags'
  | 'PurgeQueue'
  | 'SetQueueAttributes'
  | 'TagQueue'
  | 'UntagQueue'

type Texts = Record<string, string>

export function queueOperations(binding: SqsBinding): Record<QueueOperation, SqsHandler> {
  const { queues, place, clock, inFlight } = binding

  const change = async (input: Input, how: (record: QueueRecord) => QueueRecord) => {
    const { name } = await queueOf(binding, input)
    const changed = await queues.change(name, how)
    if (changed === undefined) return noSuchQueue()
    return {}
  }

  const listed = (names: readonly string[], input: Input, origin: string) => {
    const { page, next } = pageOf(names, input)
    const urls = page.map((name) => queueUrl(origin, place, name))
    return { urls, ...(next === undefined ? {} : { NextToken: next }) }
  }

  return {
    CreateQueue: async (input, { origin }) => {
      const name = String(input['QueueName'])
      const bad = checkQueueName(name)
      if (bad !== undefined) return bad
      return await create(binding, name, input, origin)
    },
    DeleteQueue: async (input) => {
      const removed = await queues.remove((await queueOf(binding, input)).name)
      if (removed === undefined) return noSuchQueue()
      inFlight.emptied(removed.incarnation)
      return {}
    },
    GetQueueAttributes: async (input) => {
      const names = (input['AttributeNames'] ?? []) as string[]
      const { name } = await queueOf(binding, input)
      const bad = checkAttributeNames(names)
      if (bad !== undefined) return bad
      const record = await queues.read(name)
      if (record === undefined) return noSuchQueue()
      const counts = wantsCounts(names) ? await countsOf(binding, record) : nothing
      const attributes = describeQueue(names, record, counts, place)
      return Object.keys(attributes).length === 0 ? {} : { Attributes: attributes }
    },
    GetQueueUrl: async (input, { origin }) => {
      const name = String(input['QueueName'])
      const owner = input['QueueOwnerAWSAccountId'] ?? place.account
      const record = owner === place.account ? await queues.find(name) : undefined
      return record === undefined ? noSuchQueue() : { QueueUrl: queueUrl(origin, place, name) }
    },
    ListDeadLetterSourceQueues: async (input, { origin }) => {
      const { name } = await queueOf(binding, input)
      const { urls, ...more } = listed(sourcesOf(binding, name), input, origin)
      return { queueUrls: urls, ...more }
    },
    ListQueues: async (input, { origin }) => {
      const prefix = String(input['QueueNamePrefix'] ?? '')
      const names = queues.all().map(({ name }) => name)
      const named = names.filter((name) => name.startsWith(prefix))
      const { urls, ...more } = listed(named, input, origin)
      return urls.length === 0 ? {} : { QueueUrls: urls, ...more }
    },
    ListQueueTags: async (input) => {
      const { name } = await queueOf(binding, input)
      const { tags = {} } = (await queues.read(name)) ?? {}
      return Object.keys(tags).length === 0 ? {} : { Tags: tags }
    },
    PurgeQueue: async (input) => {
      const record = await queueOf(binding, input)
      await queues.purge(record)
      inFlight.emptied(record.incarnation)
      return {}
    },
    SetQueueAttributes: async (input) => {
      const attributes = input['Attributes'] as Texts
      const { name, settings } = await queueOf(binding, input)
      // Looked at before it is written, and worked out again from whatever is there then.
      await checkRedrive(binding, name, allowed(withAttributes(settings, attributes, place)), input)
      return await change(input, (record) => ({
        ...record,
        settings: allowed(withAttributes(record.settings, attributes, place)),
        modifiedAtMs: clock.nowMs(),
      }))
    },
    TagQueue: async (input) => {
      const tags = input['Tags'] as Texts
      const bad = checkTags(tags)
      if (bad !== undefined) return bad
      return await change(input, (record) => {
        const all = { ...record.tags, ...tags }
        if (Object.keys(all).length > mostTags) throw new SqsRefused(tooManyTags())
        return { ...record, tags: all }
      })
    },
    UntagQueue: async (input) => {
      const keys = new Set(input['TagKeys'] as string[])
      return await change(input, (record) => ({
        ...record,
        tags: Object.fromEntries(Object.entries(record.tags).filter(([key]) => !keys.has(key))),
      }))
    },
  }
}

const nothing = { waiting: 0, inFlight: 0, delayed: 0 }

async function create(
  binding: SqsBinding,
  name: string,
  input: Input,
  origin: string,
): Promise<object | SqsRefusal> {
  const { queues, place, clock, newId } = binding
  const attributes = (input['Attributes'] ?? {}) as Texts
  const tags = (input['tags'] ?? {}) as Texts
  const bad = checkTags(tags)
  if (bad !== undefined) return bad
  const settings = allowed(withAttributes(defaultSettings, attributes, place))
  await checkRedrive(binding, name, settings, input)
  const nowMs = clock.nowMs()
  const { record, isNew } = await queues.create({
    name,
    incarnation: newId().replaceAll('-', '').slice(0, incarnationCharacters),
    settings,
    tags,
    createdAtMs: nowMs,
    modifiedAtMs: nowMs,
  })
  const different = isNew
    ? undefined
    : differingAttribute(Object.keys(attributes), [record.settings, settings], place)
  return different === undefined
    ? { QueueUrl: queueUrl(origin, place, name) }
    : refuseSqs(
        'QueueNameExists',
        `A queue already exists with the same name and a different value for attribute ${different}`,
      )
}

/** Enough to tell a queue from all others of its name. */
const incarnationCharacters = 12

/** Throws SqsRefused when the dead-letter queue is not there, or not for this queue. */
async function checkRedrive(
  { queues }: SqsBinding,
  name: string,
  { redrive }: QueueSettings,
  input: Input,
): Promise<void> {
  const policy = (input['Attributes'] as Texts | undefined)?.['RedrivePolicy']
  if (redrive === undefined || policy === undefined) return
  const target = await queues.find(redrive.deadLetterQueue)
  if (target === undefined) throw new SqsRefused(noDeadLetterQueue(policy))
  if (!mayRedrive(target.settings, name)) {
    throw new SqsRefused(
      badValue(
        policy,
        'RedrivePolicy',
        `The redrive allow policy of ${redrive.deadLetterQueue} does not allow ${name} to use it as its dead-letter queue.`,
      ),
    )
  }
}

async function countsOf({ queues, inFlight }: SqsBinding, record: QueueRecord) {
  const [counts, given] = await Promise.all([
    queues.counts(record),
    inFlight.count(record.incarnation),
  ])
  // Some of what was given out is deleted by now, perhaps through another front end.
  const invisible = Math.min(given, counts.inFlight)
  const visible = counts.inFlight - invisible
  return { ...counts, waiting: counts.waiting + visible, inFlight: invisible }
}

/** The queues whose dead-letter queue this is. */
export const sourcesOf = ({ queues }: SqsBinding, name: string): string[] =>
  queues
    .all()
    .filter(({ settings }) => settings.redrive?.deadLetterQueue === name)
    .map((queue) => queue.name)

// ── Pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Source: SQS API reference, ListQueues: without MaxResults 1,000, and no token. */
const mostResults = 1_000

/** A token is the last name that was told. Throws SqsRefused. */
function pageOf(
  names: readonly string[],
  input: Input,
): { page: readonly string[]; next?: string } {
  const most = input['MaxResults'] as number | undefined
  if (most !== undefined && (most < 1 || most > mostResults)) {
    throw new SqsRefused(
      badValue(most, 'MaxResults', `MaxResults must be an integer between 1 and ${mostResults}.`),
    )
  }
  const token = input['NextToken'] as string | undefined
  const after = token === undefined ? '' : Buffer.from(token, 'base64').toString()
  const rest = names.filter((name) => name > after)
  const page = rest.slice(0, most ?? mostResults)
  const last = page.at(-1)
  return most === undefined || last === undefined || page.length === rest.length
    ? { page }
    : { page, next: Buffer.from(last).toString('base64') }
}

// ── Tags ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Source: SQS Developer Guide, "Amazon SQS cost allocation tags", limits. */
const mostTags = 50
const longestKey = 128
const longestValue = 256

const tooManyTags = () =>
  refuseSqs('InvalidParameterValueException', `Too many tags added for queue. Maximum ${mostTags}.`)

function checkTags(tags: Texts): SqsRefusal | undefined {
  const entries = Object.entries(tags)
  if (entries.length > mostTags) return tooManyTags()
  for (const [key, value] of entries) {
    if (key === '') return missing('Tag.Key')
    if (key.length > longestKey) {
      return badValue(key, 'Tag.Key', `Tag keys must be between 1 and ${longestKey} characters.`)
    }
    if (value.length > longestValue) {
      return badValue(
        value,
        'Tag.Value',
        `Tag values must be between 0 and ${longestValue} characters.`,
      )
    }
  }
  return undefined
}
