/**
 * Records without HTTP: `lambus.kinesis.<stream>`, with the partition key in a header.
 *
 *     nats req -H Partition-Key:user-1 lambus.kinesis.orders '{"total": 12}'
 *
 * The answer is PutRecord's, a refusal a NATS service error with AWS's JSON. Without a reply subject (`nats pub`) nobody is
 * told: refusals are counted and logged once.
 */
import type { Bus, Log, Msg } from '../bus/bus.ts'
import { sentHeaders } from '../bus/sent-headers.ts'
import { anyKinesis, streamOfKinesis } from '../bus/subjects.ts'
import type { Input } from '../edges/aws/constraints.ts'
import {
  isKinesisRefusal,
  type KinesisRefusal,
  refuseKinesis,
} from '../edges/aws/kinesis-errors.ts'
import {
  atLeastLong,
  atMostLong,
  notNull,
  patternConstraint,
  validationSentence,
} from '../edges/aws/validation-texts.ts'
import type { CallKinesis } from '../edges/http-kinesis.ts'

export type KinesisDoor = {
  readonly counts: { records: number; refusedRecords: number }
  /** Takes nothing new; resolves when what is in hand is answered. */
  stop(): Promise<void>
}

/** Nobody goes away from a question over NATS, as far as we hear. */
const neverGone = new AbortController().signal

export function openKinesisDoor(
  bus: Bus,
  { call, newId, log }: { call: CallKinesis; newId: () => string; log: Log },
): KinesisDoor {
  const counts = { records: 0, refusedRecords: 0 }
  const inHand = new Set<Promise<void>>()

  const perform = async (message: Msg, requestId: string): Promise<object | KinesisRefusal> => {
    const input = inputOf(message)
    const complaints = complaintsOf(input)
    return complaints.length > 0
      ? refuseKinesis('ValidationException', validationSentence(complaints))
      : await call('PutRecord', input, { requestId, signal: neverGone })
  }

  const noteLost = ({ subject }: Msg, { refused, message }: KinesisRefusal): void => {
    counts.refusedRecords++
    if (counts.refusedRecords > 1) return
    log.warn(
      { code: 'KINESIS_RECORD_REFUSED', subject, refusal: refused, message },
      'refused a record without a reply subject, so nobody was told; further ones are only counted',
    )
  }

  const hear = async (message: Msg): Promise<void> => {
    counts.records++
    const requestId = newId()
    const told = await perform(message, requestId)
    const isAwaited = message.reply !== undefined && message.reply !== ''
    if (!isKinesisRefusal(told)) {
      const made = sentHeaders(['X-Amzn-RequestId', requestId])
      if (isAwaited) message.respond(JSON.stringify(told), { headers: made })
    } else if (isAwaited) respondRefused(message, requestId, told)
    else noteLost(message, told)
  }

  const hearing = bus.subscribe(
    anyKinesis,
    (message) => {
      const task = hear(message).finally(() => inHand.delete(task))
      inHand.add(task)
      return task
    },
    { queue: 'front-end' },
  )
  return {
    counts,
    async stop() {
      hearing.stop()
      await Promise.allSettled(inHand)
    },
  }
}

function inputOf(message: Msg): Input {
  const header = (name: string) => message.headers?.get(name) || undefined
  const explicit = header('Explicit-Hash-Key')
  return {
    StreamName: streamOfKinesis(message.subject),
    PartitionKey: header('Partition-Key'),
    Data: message.data,
    ...(explicit === undefined ? {} : { ExplicitHashKey: explicit }),
  }
}

const hashKeyPattern = String.raw`0|([1-9]\d{0,38})`
const namePattern = '[a-zA-Z0-9_.-]+'

/** What Kinesis's model has against it, in its order; the subject and the headers can hold anything. */
function complaintsOf(input: Input): string[] {
  const key = input['PartitionKey'] as string | undefined
  const explicit = input['ExplicitHashKey'] as string | undefined
  const name = input['StreamName'] as string
  const complaints: string[] = []
  if (key === undefined) complaints.push(notNull('partitionKey'))
  else if (key.length > 256) complaints.push(atMostLong(key, 'partitionKey', 256))
  if (explicit !== undefined && !/^(?:0|[1-9]\d{0,38})$/.test(explicit)) {
    complaints.push(patternConstraint(explicit, 'explicitHashKey', hashKeyPattern))
  }
  if (!/^[\w.-]*$/.test(name)) complaints.push(patternConstraint(name, 'streamName', namePattern))
  if (name.length > 128) complaints.push(atMostLong(name, 'streamName', 128))
  else if (name.length < 1) complaints.push(atLeastLong(name, 'streamName', 1))
  return complaints
}

/** Source: NATS ADR-32, service errors. */
function respondRefused(message: Msg, requestId: string, refusal: KinesisRefusal): void {
  const { refused, status, message: text } = refusal
  const body = { __type: refused, ...(text === '' ? {} : { message: text }) }
  const made = sentHeaders(
    ['Nats-Service-Error-Code', String(status)],
    ['Nats-Service-Error', `${refused}: ${text.replace(/\s+/g, ' ')}`],
    ['X-Amzn-RequestId', requestId],
    ['X-Amzn-ErrorType', refused],
  )
  message.respond(JSON.stringify(body), { headers: made })
}
