/**
 * Where the ends of asynchronous invocations go: ARNs of destinations and dead-letter targets, what they name here, and why
 * not.
 *
 *     arn:aws:sqs:…:<queue> · arn:aws:sns:…:<topic> · arn:aws:lambda:…:function:<name>[:<qualifier>]
 *     arn:aws:events:…:event-bus/<bus> · arn:lambus:nats:::<subject>, which is ours
 *
 * Source of the sentences: lambda-semantics.md §4.2 (recorded: test_lambda_eventinvokeconfig_exceptions); about dead-letter
 * targets and FIFO topics, public recordings and reports of CreateFunction and UpdateFunctionConfiguration. What AWS allows and lambus
 * does not deliver to, an S3 bucket and a Kafka topic, is refused as AWS refuses a service that it does not deliver to.
 */
import { isDestination } from '../../bus/subjects.ts'
import type { EventInvokeChange } from '../../machines/function.ts'
import { type Refusal, refuse } from './errors.ts'
import { type Place, partition } from './names.ts'

export type Target =
  | { kind: 'queue' | 'topic' | 'bus'; name: string }
  | { kind: 'function'; name: string; qualifier: string | undefined }
  | { kind: 'subject'; subject: string }

const subjectArn = 'arn:lambus:nats:::'

type Named = (resource: RegExpExecArray) => Target
// Names as SQS, SNS, Lambda and EventBridge allow them; a bus with a dot would be no token of a subject.
const resources: Record<string, { pattern: RegExp; named: Named }> = {
  sqs: { pattern: /^([\w-]{1,80})$/, named: ([, name = '']) => ({ kind: 'queue', name }) },
  sns: { pattern: /^([\w-]{1,256})$/, named: ([, name = '']) => ({ kind: 'topic', name }) },
  events: {
    pattern: /^event-bus\/([\w/-]{1,256})$/,
    named: ([, name = '']) => ({ kind: 'bus', name }),
  },
  lambda: {
    pattern: /^function:([\w-]{1,64})(?::(\$LATEST|[\w-]{1,128}))?$/,
    named: ([, name = '', qualifier]) => ({ kind: 'function', name, qualifier }),
  },
}

type Arn = Record<'partition' | 'service' | 'region' | 'account' | 'resource', string>

function partsOf(arn: string): Arn {
  const [, partition = '', service = '', region = '', account = '', ...resource] = arn.split(':')
  return { partition, service, region, account, resource: resource.join(':') }
}

/** What an ARN names here, whether or not it is there; undefined when it can name nothing here. */
export function targetOf(arn: string, where: Place): Target | undefined {
  if (arn.startsWith(subjectArn)) {
    const subject = arn.slice(subjectArn.length)
    return isDestination(subject) ? { kind: 'subject', subject } : undefined
  }
  const parts = partsOf(arn)
  const isHere =
    parts.partition === partition(where.region) &&
    parts.region === where.region &&
    parts.account === where.account
  const known = Object.hasOwn(resources, parts.service) ? resources[parts.service] : undefined
  const resource = isHere ? known?.pattern.exec(parts.resource) : undefined
  return resource && known ? known.named(resource) : undefined
}

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

// ── Destinations ───────────────────────────────────────────────────────────────────────────────────────────────────

export const invalidDestination = (arn: string): Refusal =>
  invalid(`The destination ARN ${arn} is invalid.`)

export const ownDestination = (): Refusal =>
  invalid("You can't specify the function as a destination for itself.")

/** `unsupported`: a service that nothing is delivered to, which is said of both destinations together. */
export function readDestination(arn: string, where: Place): Target | 'unsupported' | Refusal {
  const { service, resource } = partsOf(arn)
  if (!arn.startsWith(subjectArn) && !Object.hasOwn(resources, service)) return 'unsupported'
  if (service === 'sns' && resource.endsWith('.fifo')) {
    return invalid("FIFO-type Amazon SNS topics aren't supported as a destination.")
  }
  return targetOf(arn, where) ?? invalidDestination(arn)
}

/** As Java prints the request. */
export function unsupportedDestinations({ onSuccess, onFailure }: EventInvokeChange): Refusal {
  const printed = (name: string, arn: string | undefined) =>
    arn ? `${name}(destination=${arn})` : 'null'
  return invalid(
    `The provided destination config DestinationConfig(onSuccess=${printed('OnSuccess', onSuccess)}, onFailure=${printed('OnFailure', onFailure)}) is invalid.`,
  )
}

// ── Dead-letter targets ────────────────────────────────────────────────────────────────────────────────────────────

const badTarget = (why: string) => invalid(`Invalid dead letter queue ARN: ${why}`)

/** What lies in another account, and a topic of an impossible name, are told as whoever may not or cannot reach them is. */
export function readDeadLetterTarget(arn: string, where: Place): Target | Refusal {
  const { partition: given, service, region, account, resource } = partsOf(arn)
  if (region !== where.region || given !== partition(where.region)) {
    return badTarget(
      "The resource specified by the TargetArn must be in the same region as the Lambda function it's associated with.",
    )
  }
  if (service !== 'sqs' && service !== 'sns') {
    return badTarget(
      'The service specified by the TargetArn is not supported for dead letter configuration.',
    )
  }
  if (resource.endsWith('.fifo')) {
    const kind = service === 'sqs' ? 'SQS queue' : 'SNS topic'
    return badTarget(`FIFO ${kind} is not supported for dead letter configuration`)
  }
  if (account !== where.account) return notPermitted(service)
  return targetOf(arn, where) ?? (service === 'sqs' ? noSuchQueue() : noSuchTopic())
}

const notPermitted = (service: 'sqs' | 'sns') =>
  invalid(
    `The provided execution role does not have permissions to call ${service === 'sqs' ? 'SendMessage on SQS' : 'Publish on SNS'}`,
  )

export const noSuchQueue = (): Refusal =>
  invalid(
    'Error occurred while SendMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.',
  )

const noSuchTopic = () =>
  invalid(
    'Error occurred while Publish. SNS Error Code: NotFound. SNS Error Message: Topic does not exist',
  )
