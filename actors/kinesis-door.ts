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
import { isKinesisRefusal, type KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { readKinesisInput } from '../edges/aws/kinesis-input.ts'
import { kinesisOperations } from '../edges/aws/kinesis-operations.ts'
import { refusalBody } from '../edges/aws/kinesis-protocols.ts'
import type { CallKinesis } from '../edges/http-kinesis.ts'

export type KinesisDoor = {
  readonly counts: { records: number; refusedRecords: number }
  /** Takes nothing new; resolves when what is in hand is answered. */
  stop(): Promise<void>
}

const shape = kinesisOperations.PutRecord.input
/** PutRecord takes none. */
const noTime = () => Number.NaN
/** Nobody goes away from a question over NATS, as far as we hear. */
const neverGone = new AbortController().signal

export function openKinesisDoor(
  bus: Bus,
  { call, newId, log }: { call: CallKinesis; newId: () => string; log: Log },
): KinesisDoor {
  const counts = { records: 0, refusedRecords: 0 }
  const inHand = new Set<Promise<void>>()

  const perform = async (message: Msg, requestId: string): Promise<object | KinesisRefusal> => {
    const input = readKinesisInput(shape, inputOf(message), noTime)
    return isKinesisRefusal(input)
      ? input
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

const inputOf = (message: Msg): Input => ({
  StreamName: streamOfKinesis(message.subject),
  PartitionKey: message.headers?.get('Partition-Key') || undefined,
  ExplicitHashKey: message.headers?.get('Explicit-Hash-Key') || undefined,
  Data: message.data,
})

/** Source: NATS ADR-32, service errors. */
function respondRefused(message: Msg, requestId: string, refusal: KinesisRefusal): void {
  const { refused, status, message: text } = refusal
  const made = sentHeaders(
    ['Nats-Service-Error-Code', String(status)],
    ['Nats-Service-Error', `${refused}: ${text.replace(/\s+/g, ' ')}`],
    ['X-Amzn-RequestId', requestId],
    ['X-Amzn-ErrorType', refused],
  )
  message.respond(JSON.stringify(refusalBody(refusal)), { headers: made })
}
