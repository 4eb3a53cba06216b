/** What is published to topics and event buses. */
import { describe, expect, test } from 'vitest'
import { eventBus, snsTopic } from '../../../bus/subjects.ts'
import { eventBridgeEnvelope } from '../../../edges/aws/eventbridge-envelope.ts'
import { snsNotification } from '../../../edges/aws/sns-notification.ts'

const timestampMs = Date.UTC(2017, 11, 22, 18, 43, 48, 7)

describe('a notification', () => {
  const notification = {
    messageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    topicArn: 'arn:aws:sns:us-west-2:123456789012:MyTopic',
    message: Buffer.from('{"ü":1}'),
    timestampMs,
  }

  // Amazon SNS Developer Guide, "HTTP/HTTPS notification JSON format"
  test('has the members of SNS in its order, the message as text', () => {
    expect(snsNotification(notification)).toBe(
      '{"Type":"Notification","MessageId":"22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324","TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic","Message":"{\\"ü\\":1}","Timestamp":"2017-12-22T18:43:48.007Z"}',
    )
  })

  // Amazon SNS Developer Guide, "Amazon SNS message attributes": {"Type": …, "Value": …}
  test('shows the attributes of a dead letter in the form of SNS', () => {
    const attributes = {
      ErrorCode: { DataType: 'Number', StringValue: '200' },
      RequestID: { DataType: 'String', StringValue: 'r1' },
    } as const
    expect(JSON.parse(snsNotification({ ...notification, attributes })).MessageAttributes).toEqual({
      ErrorCode: { Type: 'Number', Value: '200' },
      RequestID: { Type: 'String', Value: 'r1' },
    })
  })
})

// §4.4, LocalStack's test_invoke_lambda_eventbridge; EventBridge User Guide, "AWS service event metadata"
test.each([
  ['Success', 'Success'],
  ['RetriesExhausted', 'Failure'],
  ['EventAgeExceeded', 'Failure'],
  ['ZeroReservedConcurrency', 'Failure'],
] as const)('an event bus is told of %s as a %s', (condition, outcome) => {
  const busArn = 'arn:aws:events:eu-west-1:123456789012:event-bus/b'
  const functionArn = 'arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST'
  const record = Buffer.from('{"version": "1.0"}')
  const id = '6a7e8feb-b491-4cf7-a9f1-bf3703467718'
  const envelope = { id, busArn, functionArn, condition, timestampMs, record }
  expect(Buffer.from(eventBridgeEnvelope(envelope)).toString()).toBe(
    `{"version":"0","id":"${id}","detail-type":"Lambda Function Invocation Result - ${outcome}","source":"lambda","account":"123456789012","time":"2017-12-22T18:43:48Z","region":"eu-west-1","resources":["${busArn}","${functionArn}"],"detail":{"version": "1.0"}}`,
  )
})

// DESIGN: topics are `lambus.sns.<topic>`, buses `lambus.events.<bus>`; EventBridge API, CreateEventBus: [/.-_A-Za-z0-9]+
test('a name that is no token of a subject is encoded', () => {
  expect(snsTopic('my-Topic_1')).toBe('lambus.sns.my-Topic_1')
  expect(eventBus('default')).toBe('lambus.events.default')
  expect(eventBus('aws.partner/a.b/c')).toBe('lambus.events.aws=2Epartner=2Fa=2Eb=2Fc')
})
