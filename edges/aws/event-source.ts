/**
 * What an event source mapping reads from: the ARNs of event sources, and what they name here.
 *
 *     arn:aws:kinesis:<region>:<account>:stream/<stream>
 *     arn:aws:kinesis:<region>:<account>:stream/<stream>/consumer/<consumer>:<created, seconds since the epoch>
 *
 * Source: Lambda API, CreateEventSourceMapping, for the services that there are; Kinesis API, Consumer, for its ARN;
 * lambda-semantics.md §5.3 for the sentences.
 */
import { type Refusal, refuse } from './errors.ts'
import { type Place, partition } from './names.ts'

export type EventSource =
  /** `isHere`: of our region and account. */
  | { kind: 'kinesis'; arn: string; stream: string; isHere: boolean }
  /** One of AWS's that lambus does not read from. */
  | { kind: 'not built'; arn: string; service: string }

/** Services that have event sources beside Kinesis: SQS, DynamoDB Streams, MSK, Amazon MQ, DocumentDB. */
const others = new Set(['sqs', 'dynamodb', 'kafka', 'mq', 'rds'])

// Names as Kinesis allows them.
const resource = /^stream\/([\w.-]{1,128})(?:\/consumer\/[\w.-]{1,128}:\d{1,15})?$/

export function readEventSource(arn: string, where: Place): EventSource | Refusal {
  const [, inPartition, service = '', region, account, ...rest] = arn.split(':')
  if (others.has(service)) return { kind: 'not built', arn, service }
  const named = service === 'kinesis' ? resource.exec(rest.join(':')) : null
  if (named === null) return unrecognizedSource()
  const [, stream = ''] = named
  return {
    kind: 'kinesis',
    arn,
    stream,
    isHere:
      inPartition === partition(where.region) &&
      region === where.region &&
      account === where.account,
  }
}

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

export const unrecognizedSource = (): Refusal => invalid('Unrecognized event source.')

/** Recorded for streams; a consumer that is not there is told in the same words. */
export const streamNotFound = (arn: string): Refusal => invalid(`Stream not found: ${arn}`)

export const sourceNotBuilt = (service: string): Refusal =>
  invalid(`lambus does not read from ${service} yet (EventSourceArn).`)
