/**
 * Where the end of an event may be told: what a destination's ARN names.
 *
 *     arn:aws:sqs:<region>:<account>:<queue>                           arn:aws:sns:<region>:<account>:<topic>
 *     arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]  arn:aws:events:<region>:<account>:event-bus/<bus>
 *     arn:lambus:nats:::<subject>, which is none of the system's own: who may set a destination would otherwise speak to
 *     streams and buckets with the voice of a poller
 *
 * This reads names and promises nothing about them: a queue or topic may be FIFO (`.fifo`), which AWS refuses as a
 * destination, in another region, or not there.
 *
 * Source: lambda-semantics.md §4.2; the names' characters and lengths are those of SQS CreateQueue, SNS CreateTopic,
 * EventBridge CreateEventBus (dots and slashes too) and Lambda CreateFunction, CreateAlias.
 */
import { isDestination } from '../../bus/subjects.ts'

type Located = { readonly region: string; readonly account: string }

export type Destination =
  | ({ readonly kind: 'sqs'; readonly queue: string } & Located)
  | ({ readonly kind: 'sns'; readonly topic: string } & Located)
  | ({
      readonly kind: 'lambda'
      readonly name: string
      readonly qualifier: string | undefined
    } & Located)
  | ({ readonly kind: 'eventbridge'; readonly bus: string } & Located)
  | { readonly kind: 'nats'; readonly subject: string }

const awsArn =
  /^arn:aws[a-zA-Z-]*:(sqs|sns|lambda|events):((?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):(\d{12}):(.+)$/
/** A subject that can be published on: tokens without wildcards. */
const natsArn = /^arn:lambus:nats:::([^\s.*>]+(?:\.[^\s.*>]+)*)$/

const queueName = /^(?=.{1,80}$)[\w-]+(?:\.fifo)?$/
const topicName = /^(?=.{1,256}$)[\w-]+(?:\.fifo)?$/
const functionName = /^function:([\w-]{1,64})(?::(\$LATEST|[\w-]{1,128}))?$/
const busName = /^event-bus\/([/.\w-]{1,256})$/

/** Undefined when the ARN names nothing that can be a destination. */
export function parseDestination(arn: string): Destination | undefined {
  const subject = natsArn.exec(arn)?.[1]
  if (subject !== undefined) return isDestination(subject) ? { kind: 'nats', subject } : undefined
  const [, service = '', region = '', account = '', resource = ''] = awsArn.exec(arn) ?? []
  return readers[service]?.(resource, { region, account })
}

type Read = (resource: string, where: Located) => Destination | undefined

const readers: Record<string, Read> = {
  sqs: (queue, where) => (queueName.test(queue) ? { kind: 'sqs', queue, ...where } : undefined),
  sns: (topic, where) => (topicName.test(topic) ? { kind: 'sns', topic, ...where } : undefined),
  lambda: (resource, where) => {
    const [, name, qualifier] = functionName.exec(resource) ?? []
    return name === undefined ? undefined : { kind: 'lambda', name, qualifier, ...where }
  },
  events: (resource, where) => {
    const bus = busName.exec(resource)?.[1]
    return bus === undefined ? undefined : { kind: 'eventbridge', bus, ...where }
  },
}
