/**
 * What is published to a topic, as SNS shows it to a subscriber: the notification.
 *
 * `SignatureVersion`, `Signature`, `SigningCertURL` and `UnsubscribeURL` are left out: a signature is worth what its
 * certificate is, and there is none of ours to fetch; who may publish on a topic's subject is said by nats-server. Topics have no
 * subscriptions here, only subscribers of a subject. `Subject` is left out as SNS does where none was given.
 *
 * Source: Amazon SNS Developer Guide, "HTTP/HTTPS notification JSON format" and "Amazon SNS message attributes".
 */
import type { MessageAttributes } from './dead-letter.ts'

export function snsNotification(notification: {
  readonly messageId: string
  readonly topicArn: string
  readonly message: Uint8Array
  readonly timestampMs: number
  readonly attributes?: MessageAttributes | undefined
}): string {
  const { messageId, topicArn, message, timestampMs, attributes = {} } = notification
  const shown = Object.entries(attributes).map(([name, { DataType, StringValue }]) => [
    name,
    { Type: DataType, Value: StringValue },
  ])
  return JSON.stringify({
    Type: 'Notification',
    MessageId: messageId,
    TopicArn: topicArn,
    Message: Buffer.from(message).toString(),
    Timestamp: new Date(timestampMs).toISOString(),
    ...(shown.length === 0 ? {} : { MessageAttributes: Object.fromEntries(shown) }),
  })
}
