/**
 * How SQS names a queue: by a name, by an ARN, and by a URL, which is an address as well.
 *
 * A URL begins with the address that its reader asked at, so that whatever way leads here leads to the queue, too: through
 * a proxy, out of a container, on another port. What is read of a URL is only its path.
 * Source: SQS Developer Guide, "Queue and message identifiers".
 */
import { isQueueName } from '../../bus/sqs-queues.ts'
import type { Place } from './names.ts'
import { noSuchQueue, refuseSqs, type SqsRefusal, unhonoured } from './sqs-errors.ts'

/** `origin`: `http://<host>` as the request names it. */
export const queueUrl = (origin: string, { account }: Place, name: string): string =>
  `${origin}/${account}/${name}`

export const queueArn = ({ region, account }: Place, name: string): string =>
  `arn:aws:sqs:${region}:${account}:${name}`

/** The queue of an ARN that is one of ours. */
export function nameInArn({ region, account }: Place, arn: string): string | undefined {
  const [, itsRegion, itsAccount, name] = /^arn:aws:sqs:([^:]+):([^:]+):([^:]+)$/.exec(arn) ?? []
  return itsRegion === region && itsAccount === account ? name : undefined
}

/** The queue of a URL, or of a name alone, as AWS takes it, too. */
export function nameInUrl({ account }: Place, url: string): string | SqsRefusal {
  const path = url.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/$/, '')
  if (isQueueName(url)) return url
  const [, itsAccount, name] = /^\/([^/]+)\/([^/]+)$/.exec(path) ?? []
  if (name === undefined) {
    return refuseSqs('InvalidAddress', `The address ${url} is not valid for this endpoint.`)
  }
  return itsAccount === account ? name : noSuchQueue()
}

/** What is wrong with the name of a queue to be. */
export function checkQueueName(name: string): SqsRefusal | undefined {
  if (/^[\w-]{1,75}\.fifo$/.test(name)) return unhonoured('have FIFO queues')
  return isQueueName(name)
    ? undefined
    : refuseSqs(
        'InvalidParameterValueException',
        'Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length',
      )
}
