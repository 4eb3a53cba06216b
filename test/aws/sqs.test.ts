/**
 * SQS as AWS's SDK for JavaScript sees it, in JSON 1.0: it verifies the MD5 sums itself.
 *
 * Sources: SQS API reference of each action; SQS Developer Guide ("Visibility timeout", "Dead-letter queues", "Message
 * quotas"). Sentences and codes of errors were recorded of AWS.
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  CancelMessageMoveTaskCommand,
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  type CreateQueueCommandInput,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListDeadLetterSourceQueuesCommand,
  ListMessageMoveTasksCommand,
  ListQueuesCommand,
  ListQueueTagsCommand,
  type Message,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SendMessageCommandInput,
  SetQueueAttributesCommand,
  type SQSClient,
  StartMessageMoveTaskCommand,
  TagQueueCommand,
  UntagQueueCommand,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { anySqsApi, sqsApi } from '../../bus/subjects.ts'
import { until } from '../bus/waiting.ts'
import { arnOf, pollsOf, type SqsFrontEnd, startSqs, startSqsFrontEnd } from './sqs-door.ts'

let here: Awaited<ReturnType<typeof startSqs>>
let client: SQSClient
beforeAll(async () => {
  here = await startSqs()
  client = here.client
})
afterAll(() => here.stop())

let made = 0
/** A queue of its own for each test; gives its URL. */
async function makeQueue(
  Attributes: CreateQueueCommandInput['Attributes'] = {},
  QueueName = `q${++made}`,
): Promise<string> {
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName, Attributes }))
  return QueueUrl ?? ''
}
const nameOf = (url: string) => url.split('/').at(-1) ?? ''

const send = (QueueUrl: string, MessageBody: string, more: Partial<SendMessageCommandInput> = {}) =>
  client.send(new SendMessageCommand({ QueueUrl, MessageBody, ...more }))

async function take(
  QueueUrl: string,
  more: Partial<ReceiveMessageCommandInput> = {},
): Promise<Message[]> {
  const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, ...more }))
  return Messages
}
async function takeOne(
  url: string,
  more: Partial<ReceiveMessageCommandInput> = {},
): Promise<Message> {
  const [message] = await take(url, { WaitTimeSeconds: 5, ...more })
  if (message === undefined) throw new Error('nothing came')
  return message
}
const bodies = (messages: Message[]) => messages.map(({ Body }) => Body).sort()

async function attributesOf(QueueUrl: string): Promise<Record<string, string | undefined>> {
  const asked = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] })
  return (await client.send(asked)).Attributes ?? {}
}
async function countsOf(url: string): Promise<string> {
  const all = await attributesOf(url)
  return ['', 'NotVisible', 'Delayed']
    .map((which) => all[`ApproximateNumberOfMessages${which}`])
    .join(' ')
}

/** Name, status and sentence of what is refused. */
async function refusal(asked: Promise<unknown>): Promise<unknown[]> {
  const error = await asked.then(
    () => new Error('it was not refused'),
    (reason) => reason,
  )
  const code = error.Code ?? error.name
  return [error.name, code, error.$metadata?.httpStatusCode, error.message]
}

describe('queues', () => {
  test('are made with a URL at the address that was asked, and found by name', async () => {
    const url = await makeQueue({}, 'found-1')
    expect(url).toBe(`${here.url}/000000000000/found-1`)
    expect(await makeQueue({}, 'found-1')).toBe(url)
    const { QueueUrl } = await client.send(new GetQueueUrlCommand({ QueueName: 'found-1' }))
    expect(QueueUrl).toBe(url)
  })

  test('have the defaults of AWS', async () => {
    const url = await makeQueue()
    expect(await attributesOf(url)).toEqual({
      QueueArn: arnOf(nameOf(url)),
      ApproximateNumberOfMessages: '0',
      ApproximateNumberOfMessagesNotVisible: '0',
      ApproximateNumberOfMessagesDelayed: '0',
      CreatedTimestamp: expect.stringMatching(/^\d{10}$/),
      LastModifiedTimestamp: expect.stringMatching(/^\d{10}$/),
      VisibilityTimeout: '30',
      MaximumMessageSize: '1048576',
      MessageRetentionPeriod: '345600',
      DelaySeconds: '0',
      ReceiveMessageWaitTimeSeconds: '0',
      SqsManagedSseEnabled: 'false',
    })
  })

  // CreateQueue, QueueNameExists: "A queue with this name already exists … with different attributes".
  test('that exist with other attributes are not made again', async () => {
    const url = await makeQueue({ VisibilityTimeout: '10' })
    expect(await makeQueue({ VisibilityTimeout: '10' }, nameOf(url))).toBe(url)
    expect(await makeQueue({}, nameOf(url))).toBe(url)
    expect(await refusal(makeQueue({ VisibilityTimeout: '11' }, nameOf(url)))).toEqual([
      'QueueNameExists',
      'QueueAlreadyExists',
      400,
      'A queue already exists with the same name and a different value for attribute VisibilityTimeout',
    ])
  })

  test('that are deleted are gone, with what they held, and may be made anew', async () => {
    const url = await makeQueue()
    await send(url, 'old')
    const [old] = await take(url)
    await send(url, 'waiting')
    await client.send(new DeleteQueueCommand({ QueueUrl: url }))
    const gone = [
      'QueueDoesNotExist',
      'AWS.SimpleQueueService.NonExistentQueue',
      400,
      'The specified queue does not exist.',
    ]
    expect(await refusal(send(url, 'x'))).toEqual(gone)
    expect(await refusal(take(url))).toEqual(gone)
    expect(await refusal(attributesOf(url))).toEqual(gone)
    expect(await refusal(client.send(new DeleteQueueCommand({ QueueUrl: url })))).toEqual(gone)
    await makeQueue({}, nameOf(url))
    expect(await take(url)).toEqual([])
    const { ReceiptHandle } = old ?? {}
    expect(
      await refusal(client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }))),
    ).toEqual([
      'ReceiptHandleIsInvalid',
      'ReceiptHandleIsInvalid',
      400,
      `The input receipt handle "${ReceiptHandle}" is not a valid receipt handle.`,
    ])
  })

  test('are listed by prefix and in pages', async () => {
    for (const name of ['list-a', 'list-b', 'list-c', 'other-d']) await makeQueue({}, name)
    const list = async (more: object) =>
      await client.send(new ListQueuesCommand({ QueueNamePrefix: 'list-', ...more }))
    const first = await list({ MaxResults: 2 })
    expect(first.QueueUrls?.map(nameOf)).toEqual(['list-a', 'list-b'])
    const second = await list({ MaxResults: 2, NextToken: first.NextToken })
    expect(second.QueueUrls?.map(nameOf)).toEqual(['list-c'])
    expect(second.NextToken).toBeUndefined()
    expect((await list({})).QueueUrls).toHaveLength(3)
    expect((await client.send(new ListQueuesCommand({ QueueNamePrefix: 'no' }))).QueueUrls).toBe(
      undefined,
    )
  })

  test('have tags', async () => {
    const { QueueUrl = '' } = await client.send(
      new CreateQueueCommand({ QueueName: 'tagged', tags: { a: '1', b: '2' } }),
    )
    await client.send(new TagQueueCommand({ QueueUrl, Tags: { b: '3', c: 'ü' } }))
    await client.send(new UntagQueueCommand({ QueueUrl, TagKeys: ['a', 'none'] }))
    const { Tags } = await client.send(new ListQueueTagsCommand({ QueueUrl }))
    expect(Tags).toEqual({ b: '3', c: 'ü' })
  })

  test.each([
    [{ VisibilityTimeout: '43201' }, 'Invalid value for the parameter VisibilityTimeout.'],
    [{ MaximumMessageSize: '1048577' }, 'Invalid value for the parameter MaximumMessageSize.'],
    [{ MaximumMessageSize: '1023' }, 'Invalid value for the parameter MaximumMessageSize.'],
    [{ MessageRetentionPeriod: '59' }, 'Invalid value for the parameter MessageRetentionPeriod.'],
    [{ DelaySeconds: '901' }, 'Invalid value for the parameter DelaySeconds.'],
    [{ DelaySeconds: 'x' }, 'Invalid value for the parameter DelaySeconds.'],
    [
      { ReceiveMessageWaitTimeSeconds: '21' },
      'Invalid value for the parameter ReceiveMessageWaitTimeSeconds.',
    ],
  ])('do not take %o', async (attributes, sentence) => {
    const refused = ['InvalidAttributeValue', 'InvalidAttributeValue', 400, sentence]
    expect(await refusal(makeQueue(attributes))).toEqual(refused)
  })

  test.each([
    [{ FifoQueue: 'true' }, 'lambus does not have FIFO queues.'],
    [{ Policy: '{}' }, 'lambus does not have policies of queues (Policy).'],
    [{ KmsMasterKeyId: 'k' }, 'lambus does not encrypt queues (KmsMasterKeyId).'],
    [{ SqsManagedSseEnabled: 'true' }, 'lambus does not encrypt queues (SqsManagedSseEnabled).'],
  ])('do not accept %o, which would not be honoured', async (attributes, sentence) => {
    const refused = ['InvalidParameterValue', 'InvalidParameterValue', 400, sentence]
    expect(await refusal(makeQueue(attributes))).toEqual(refused)
  })

  test('do not know attributes that AWS does not know', async () => {
    const unknown = (name: string) => [
      'InvalidAttributeName',
      'InvalidAttributeName',
      400,
      `Unknown Attribute ${name}.`,
    ]
    expect(await refusal(makeQueue({ Nope: '1' } as object))).toEqual(unknown('Nope'))
    const url = await makeQueue()
    const set = new SetQueueAttributesCommand({
      QueueUrl: url,
      Attributes: { ContentBasedDeduplication: 'true' },
    })
    expect(await refusal(client.send(set))).toEqual(unknown('ContentBasedDeduplication'))
    const get = { QueueUrl: url, AttributeNames: ['Nope' as 'All'] }
    expect(await refusal(client.send(new GetQueueAttributesCommand(get)))).toEqual(unknown('Nope'))
  })

  test.each([['a'.repeat(81)], ['a b'], ['ü'], ['a.b']])('are not named %s', async (QueueName) => {
    expect(await refusal(makeQueue({}, QueueName))).toEqual([
      'InvalidParameterValue',
      'InvalidParameterValue',
      400,
      'Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length',
    ])
  })

  test('of another account, or at no address, are not here', async () => {
    expect((await refusal(send(`${here.url}/111111111111/q`, 'x')))[0]).toBe('QueueDoesNotExist')
    for (const name of ['a.b', 'a b', '*', 'x'.repeat(99)]) {
      expect((await refusal(send(`${here.url}/000000000000/${name}`, 'x')))[0]).toBe(
        'QueueDoesNotExist',
      )
      expect((await refusal(client.send(new GetQueueUrlCommand({ QueueName: name }))))[0]).toBe(
        'QueueDoesNotExist',
      )
    }
    expect(await refusal(send(`${here.url}/a/b/c`, 'x'))).toEqual([
      'InvalidAddress',
      'InvalidAddress',
      404,
      `The address ${here.url}/a/b/c is not valid for this endpoint.`,
    ])
  })
})

describe('messages', () => {
  test('arrive with their attributes, and the sums are right', async () => {
    const url = await makeQueue()
    const sent = await send(url, 'ü\t\r\n€ 😀', {
      MessageAttributes: {
        'z.text': { DataType: 'String', StringValue: 'ä' },
        number: { DataType: 'Number.int', StringValue: '-1.5e3' },
        bytes: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 255, 10) },
      },
      MessageSystemAttributes: {
        AWSTraceHeader: { DataType: 'String', StringValue: 'Root=1-5759e988-bd862e3fe1be46a9' },
      },
    })
    expect(sent.MD5OfMessageSystemAttributes).toMatch(/^[0-9a-f]{32}$/)
    const message = await takeOne(url, {
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    })
    expect(message).toEqual({
      MessageId: sent.MessageId,
      ReceiptHandle: expect.any(String),
      Body: 'ü\t\r\n€ 😀',
      MD5OfBody: sent.MD5OfMessageBody,
      MD5OfMessageAttributes: sent.MD5OfMessageAttributes,
      MessageAttributes: {
        'z.text': { DataType: 'String', StringValue: 'ä' },
        number: { DataType: 'Number.int', StringValue: '-1.5e3' },
        bytes: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 255, 10) },
      },
      Attributes: {
        SenderId: '000000000000',
        SentTimestamp: expect.stringMatching(/^\d{13}$/),
        ApproximateFirstReceiveTimestamp: expect.stringMatching(/^\d{13}$/),
        ApproximateReceiveCount: '1',
        AWSTraceHeader: 'Root=1-5759e988-bd862e3fe1be46a9',
      },
    })
  })

  // Recorded of AWS; the algorithm is in the Developer Guide, "Calculating the MD5 message digest for message attributes".
  test('have the sum that AWS has of an attribute', async () => {
    const url = await makeQueue()
    const { MD5OfMessageAttributes, MD5OfMessageBody } = await send(url, 'message-1', {
      MessageAttributes: { MyAttribute: { DataType: 'String', StringValue: 'foobar' } },
    })
    expect(MD5OfMessageAttributes).toBe('adb59cd4678ea5a855436b949cd07ab6')
    expect(MD5OfMessageBody).toBe('3d6b824fd8c1520e9a047d21fee6fb1f')
  })

  test('show the attributes that were asked for, with their sum', async () => {
    const url = await makeQueue({ VisibilityTimeout: '0' })
    const attribute = (StringValue: string) => ({ DataType: 'String', StringValue })
    await send(url, 'm', {
      MessageAttributes: {
        Hello: attribute('There'),
        General: attribute('Kenobi'),
        'Help.Me': attribute('Me'),
      },
    })
    const names = async (...MessageAttributeNames: string[]) =>
      Object.keys((await takeOne(url, { MessageAttributeNames })).MessageAttributes ?? {}).sort()
    expect(await names()).toEqual([])
    expect(await names('All')).toEqual(['General', 'Hello', 'Help.Me'])
    expect(await names('.*')).toEqual(['General', 'Hello', 'Help.Me'])
    expect(await names('Hello', 'None')).toEqual(['Hello'])
    expect(await names('Hel.*')).toEqual(['Hello', 'Help.Me'])
    const { Attributes } = await takeOne(url, { MessageSystemAttributeNames: ['SenderId'] })
    expect(Attributes).toEqual({ SenderId: '000000000000' })
  })

  // These wait for seconds that only pass: together.
  test.concurrent('are invisible to others until their time is over, and then come again', async () => {
    const url = await makeQueue({ VisibilityTimeout: '3' })
    await send(url, 'm')
    expect(await countsOf(url)).toBe('1 0 0')
    const first = await takeOne(url)
    expect(await take(url)).toEqual([])
    expect(await countsOf(url)).toBe('0 1 0')
    const again = await takeOne(url, { MessageSystemAttributeNames: ['ApproximateReceiveCount'] })
    expect(again.MessageId).toBe(first.MessageId)
    expect(again.ReceiptHandle).not.toBe(first.ReceiptHandle)
    expect(again.Attributes).toEqual({ ApproximateReceiveCount: '2' })
  })

  test.concurrent('count as visible again when nobody has taken them since', async () => {
    const url = await makeQueue()
    await send(url, 'm')
    const { ReceiptHandle } = await takeOne(url)
    const visible = { QueueUrl: url, ReceiptHandle, VisibilityTimeout: 0 }
    await client.send(new ChangeMessageVisibilityCommand(visible))
    expect(await countsOf(url)).toBe('1 0 0')
  })

  test.concurrent('are invisible for as long as the receiver says, and not at all for 0', async () => {
    const url = await makeQueue()
    await send(url, 'm')
    await takeOne(url, { VisibilityTimeout: 0 })
    await takeOne(url, { VisibilityTimeout: 3 })
    expect(await take(url)).toEqual([])
    await takeOne(url, { WaitTimeSeconds: 10 })
  })

  test.concurrent('stay invisible for longer when that is asked', async () => {
    const url = await makeQueue({ VisibilityTimeout: '2' })
    await send(url, 'm')
    const { ReceiptHandle } = await takeOne(url)
    const longer = { QueueUrl: url, ReceiptHandle, VisibilityTimeout: 6 }
    await client.send(new ChangeMessageVisibilityCommand(longer))
    expect(await take(url, { WaitTimeSeconds: 3 })).toEqual([])
    await takeOne(url, { WaitTimeSeconds: 10 })
  })

  test('cannot be kept for more than 12 hours in all', async () => {
    const url = await makeQueue()
    await send(url, 'm')
    const { ReceiptHandle } = await takeOne(url)
    const change = (VisibilityTimeout: number) =>
      refusal(
        client.send(
          new ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle, VisibilityTimeout }),
        ),
      )
    const invalid = ['InvalidParameterValue', 'InvalidParameterValue', 400]
    expect(await change(43_201)).toEqual([
      ...invalid,
      'Value 43201 for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.',
    ])
    expect(await change(43_200)).toEqual([
      ...invalid,
      'Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].',
    ])
  })

  test('that are gone or visible again have no visibility to change', async () => {
    const url = await makeQueue()
    await send(url, 'm')
    const { ReceiptHandle } = await takeOne(url)
    const change = { QueueUrl: url, ReceiptHandle, VisibilityTimeout: 0 }
    await client.send(new ChangeMessageVisibilityCommand(change))
    const sentence = `Value ${ReceiptHandle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.`
    const refused = ['InvalidParameterValue', 'InvalidParameterValue', 400, sentence]
    expect(await refusal(client.send(new ChangeMessageVisibilityCommand(change)))).toEqual(refused)
    await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }))
    expect(await refusal(client.send(new ChangeMessageVisibilityCommand(change)))).toEqual(refused)
  })

  test.concurrent('are deleted, and deleting them again is no error', async ({ expect }) => {
    const url = await makeQueue({ VisibilityTimeout: '1' })
    await send(url, 'm')
    const { ReceiptHandle } = await takeOne(url)
    for (let time = 0; time < 2; time++) {
      await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }))
    }
    expect(await take(url, { WaitTimeSeconds: 2 })).toEqual([])
    await expect.poll(() => countsOf(url)).toBe('0 0 0')
  })

  test.concurrent('that are delayed come when they are due', async () => {
    const url = await makeQueue({ DelaySeconds: '3' })
    await send(url, 'late')
    await send(url, 'now', { DelaySeconds: 0 })
    expect(await countsOf(url)).toBe('1 0 1')
    expect(bodies(await take(url, { MaxNumberOfMessages: 10 }))).toEqual(['now'])
    expect(await take(url)).toEqual([])
    const { Body, Attributes } = await takeOne(url, {
      MessageSystemAttributeNames: ['SentTimestamp'],
    })
    expect(Body).toBe('late')
    // Of sending, not of coming.
    expect(Date.now() - Number(Attributes?.['SentTimestamp'])).toBeGreaterThan(2_900)
  })

  test.concurrent('are purged, whatever state they are in', async () => {
    const url = await makeQueue({ VisibilityTimeout: '1' })
    await send(url, 'in flight')
    await take(url)
    await send(url, 'waiting')
    await send(url, 'delayed', { DelaySeconds: 1 })
    await client.send(new PurgeQueueCommand({ QueueUrl: url }))
    expect(await take(url, { WaitTimeSeconds: 3 })).toEqual([])
    await send(url, 'after')
    await takeOne(url)
  })

  test.concurrent('older than the queue keeps them are gone', { timeout: 30_000 }, async ({
    expect,
  }) => {
    const url = await makeQueue({ MessageRetentionPeriod: '60' })
    const past = Date.now() - 57_000
    const record = await here.queues.read(nameOf(url))
    if (record === undefined) throw new Error('no queue')
    const { storeMessage } = await import('../../bus/sqs-message.ts')
    const message = { messageId: 'm', body: Buffer.from('m'), attributes: {}, sentAtMs: past }
    await storeMessage(here.bus, record, message)
    await storeMessage(
      here.bus,
      record,
      { ...message, body: Buffer.from('n') },
      { timeToLiveMs: 1 },
    )
    expect(bodies(await take(url, { MaxNumberOfMessages: 10, VisibilityTimeout: 0 }))).toContain(
      'm',
    )
    await wait(3_100)
    expect(await take(url)).toEqual([])
    await expect.poll(() => countsOf(url)).toBe('0 0 0')
  })
})

describe('what is no message', () => {
  const invalid = (sentence: string) => [
    'InvalidParameterValue',
    'InvalidParameterValue',
    400,
    sentence,
  ]
  const text = (StringValue: string) => ({ DataType: 'String', StringValue })

  test('has no body', async () => {
    expect(await refusal(send(await makeQueue(), ''))).toEqual([
      'MissingParameter',
      'MissingParameter',
      400,
      'The request must contain the parameter MessageBody.',
    ])
  })

  test('has characters that are none of XML', async () => {
    const [name, , status, sentence] = await refusal(send(await makeQueue(), 'a\u0000b'))
    expect([name, status]).toEqual(['InvalidMessageContents', 400])
    expect(sentence).toBe(
      'Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF',
    )
  })

  test('is too long, by one byte', async () => {
    const url = await makeQueue({ MaximumMessageSize: '1024' })
    // Name, type and value count: 1 + 6 + 17.
    const MessageAttributes = { a: text('x'.repeat(17)) }
    await send(url, 'x'.repeat(1_000), { MessageAttributes })
    expect(await refusal(send(url, 'x'.repeat(1_001), { MessageAttributes }))).toEqual(
      invalid(
        'One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.',
      ),
    )
  })

  test('is as long as may be, and comes back whole', async () => {
    const url = await makeQueue()
    await send(url, 'ä'.repeat(524_288))
    expect((await takeOne(url)).Body).toHaveLength(524_288)
    expect((await refusal(send(url, 'x'.repeat(1_048_577))))[3]).toBe(
      'One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.',
    )
  })

  test.each<[string, Partial<SendMessageCommandInput>, string]>([
    [
      'a delay beyond 15 minutes',
      { DelaySeconds: 901 },
      'Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.',
    ],
    ['a group', { MessageGroupId: 'g' }, 'lambus does not share a queue fairly (MessageGroupId).'],
    [
      'a deduplication id',
      { MessageDeduplicationId: 'd' },
      'Value d for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid for this queue type.',
    ],
    [
      'eleven attributes',
      {
        MessageAttributes: Object.fromEntries(
          Array.from('abcdefghijk', (name) => [name, text('x')]),
        ),
      },
      'Number of message attributes [11] exceeds the allowed maximum [10].',
    ],
    [
      'an attribute without a value',
      { MessageAttributes: { ErrorDetails: text('') } },
      "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.",
    ],
    [
      'an attribute of no type',
      { MessageAttributes: { a: { DataType: 'Text', StringValue: 'x' } } },
      "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.",
    ],
    [
      'a number that is none',
      { MessageAttributes: { a: { DataType: 'Number', StringValue: 'x' } } },
      "Can't cast the value of message (user) attribute 'a' to a number.",
    ],
    [
      "a name of AWS's",
      { MessageAttributes: { 'aws.a': text('x') } },
      "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.",
    ],
  ])('has %s', async (_, more, sentence) => {
    expect(await refusal(send(await makeQueue(), 'm', more))).toEqual(invalid(sentence))
  })

  test.each<[Partial<ReceiveMessageCommandInput>, string]>([
    [
      { MaxNumberOfMessages: 11 },
      'Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.',
    ],
    [
      { MaxNumberOfMessages: 0 },
      'Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.',
    ],
    [
      { WaitTimeSeconds: 21 },
      'Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.',
    ],
    [
      { WaitTimeSeconds: -1 },
      'Value -1 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.',
    ],
    [
      { VisibilityTimeout: -1 },
      'Value -1 for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.',
    ],
  ])('cannot be asked for by %o', async (more, sentence) => {
    expect(await refusal(take(await makeQueue(), more))).toEqual(invalid(sentence))
  })

  test.each(['garbage', '', Buffer.from('a.b.c').toString('base64')])(
    'cannot be deleted by %o',
    async (ReceiptHandle) => {
      const QueueUrl = await makeQueue()
      expect(
        await refusal(client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))),
      ).toEqual([
        'ReceiptHandleIsInvalid',
        'ReceiptHandleIsInvalid',
        400,
        `The input receipt handle "${ReceiptHandle}" is not a valid receipt handle.`,
      ])
    },
  )
})

describe('batches', () => {
  const entries = (...ids: string[]) => ids.map((Id) => ({ Id, MessageBody: `body ${Id}` }))

  test('are sent, received, made visible and deleted, entry by entry', async () => {
    const url = await makeQueue()
    const sent = await client.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [...entries('a', 'b', 'c'), { Id: 'bad', MessageBody: '\u0001' }],
      }),
    )
    expect(sent.Successful?.map(({ Id }) => Id)).toEqual(['a', 'b', 'c'])
    expect(sent.Failed).toEqual([
      {
        Id: 'bad',
        SenderFault: true,
        Code: 'InvalidMessageContents',
        Message: expect.stringMatching(/^Invalid characters/),
      },
    ])
    const taken = await take(url, { MaxNumberOfMessages: 10 })
    expect(bodies(taken)).toEqual(['body a', 'body b', 'body c'])
    const handles = taken.map(({ ReceiptHandle }, index) => ({ Id: `${index}`, ReceiptHandle }))
    const changed = await client.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: handles.map((entry) => ({ ...entry, VisibilityTimeout: 0 })),
      }),
    )
    expect(changed.Successful).toHaveLength(3)
    const again = await take(url, { MaxNumberOfMessages: 10, WaitTimeSeconds: 2 })
    expect(again).toHaveLength(3)
    const removed = await client.send(
      new DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [...handles.slice(1), { Id: 'x', ReceiptHandle: 'garbage' }],
      }),
    )
    expect(removed.Successful).toEqual([{ Id: '1' }, { Id: '2' }])
    expect(removed.Failed).toMatchObject([{ Id: 'x', Code: 'ReceiptHandleIsInvalid' }])
    await expect.poll(() => countsOf(url)).toBe('0 1 0')
  })

  test.each<[string, string[], string, string]>([
    [
      'without entries',
      [],
      'EmptyBatchRequest',
      'There should be at least one SendMessageBatchRequestEntry in the request.',
    ],
    [
      'of eleven',
      Array.from('abcdefghijk'),
      'TooManyEntriesInBatchRequest',
      'Maximum number of entries per request are 10. You have sent 11.',
    ],
    ['with an id twice', ['a', 'b', 'a'], 'BatchEntryIdsNotDistinct', 'Id a repeated.'],
    [
      'with an id that is none',
      ['a:b'],
      'InvalidBatchEntryId',
      'A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.',
    ],
  ])('%s are refused whole', async (_, ids, name, sentence) => {
    const Entries = entries(...ids)
    const QueueUrl = await makeQueue()
    const asked = client.send(new SendMessageBatchCommand({ QueueUrl, Entries }))
    expect(await refusal(asked)).toEqual([name, `AWS.SimpleQueueService.${name}`, 400, sentence])
    expect(await take(QueueUrl)).toEqual([])
  })

  test('are 1 MiB at most together', async () => {
    const QueueUrl = await makeQueue()
    const Entries = ['a', 'b'].map((Id, index) => ({
      Id,
      MessageBody: 'x'.repeat(524_288 + index),
    }))
    const asked = client.send(new SendMessageBatchCommand({ QueueUrl, Entries }))
    expect(await refusal(asked)).toEqual([
      'BatchRequestTooLong',
      'AWS.SimpleQueueService.BatchRequestTooLong',
      400,
      'Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.',
    ])
  })

  test('fail only in the entries that are too long for the queue', async () => {
    const QueueUrl = await makeQueue({ MaximumMessageSize: '1024' })
    const Entries = [
      { Id: 'long', MessageBody: 'x'.repeat(1_025) },
      { Id: 'short', MessageBody: 'x' },
    ]
    const told = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }))
    expect(told.Successful?.map(({ Id }) => Id)).toEqual(['short'])
    expect(told.Failed).toEqual([
      {
        Id: 'long',
        SenderFault: true,
        Code: 'InvalidParameterValue',
        Message:
          'One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.',
      },
    ])
  })
})

describe('long polls', () => {
  test('end with the first message', async () => {
    const url = await makeQueue()
    const polling = take(url, { WaitTimeSeconds: 20, MaxNumberOfMessages: 10 })
    await wait(300)
    const sentAt = performance.now()
    await send(url, 'm')
    expect(bodies(await polling)).toEqual(['m'])
    expect(performance.now() - sentAt).toBeLessThan(10_000)
  })

  test('end without one when their time, or that of the queue, is over', async () => {
    const url = await makeQueue({ ReceiveMessageWaitTimeSeconds: '3' })
    const startedAt = performance.now()
    expect(await take(url)).toEqual([])
    expect(performance.now() - startedAt).toBeGreaterThan(2_990)
    const shortAt = performance.now()
    expect(await take(url, { WaitTimeSeconds: 0 })).toEqual([])
    expect(performance.now() - shortAt).toBeLessThan(2_500)
  })

  test('of clients that have gone swallow nothing', async () => {
    const url = await makeQueue()
    for (let time = 0; time < 5; time++) {
      const gone = new AbortController()
      const asked = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 })
      const polling = client.send(asked, { abortSignal: gone.signal }).catch(() => {})
      await wait(100)
      gone.abort()
      await polling
    }
    await wait(200)
    await send(url, 'm')
    const { Attributes } = await takeOne(url, {
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    })
    expect(Attributes).toEqual({ ApproximateReceiveCount: '1' })
  })

  test('end when the front end does, and swallow nothing', async () => {
    const url = await makeQueue()
    const other: SqsFrontEnd = await startSqsFrontEnd(here.server.url, 'f2')
    const polling = other.client.send(
      new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 }),
    )
    await until(async () => (await pollsOf(here.bus, nameOf(url))) === 1)
    const endedAt = performance.now()
    await other.drain()
    expect((await polling).Messages).toBeUndefined()
    expect(performance.now() - endedAt).toBeLessThan(10_000)
    await other.stop()
    await send(url, 'm')
    await takeOne(url, { WaitTimeSeconds: 1 })
  })

  test('of two front ends count what is in flight together', async () => {
    const url = await makeQueue({ VisibilityTimeout: '4' })
    const other = await startSqsFrontEnd(here.server.url, 'f5')
    for (const body of ['1', '2']) await send(url, body)
    const ask = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 2 })
    const { Messages = [] } = await other.client.send(ask)
    await takeOne(url)
    await expect.poll(() => countsOf(url)).toBe('0 2 0')
    const { ReceiptHandle } = Messages[0] ?? {}
    await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }))
    await expect.poll(() => countsOf(url)).toBe('0 1 0')
    await expect.poll(() => countsOf(url), { timeout: 8_000 }).toBe('1 0 0')
    await other.stop()
  })

  test('of two front ends get each message once', async () => {
    const url = await makeQueue()
    const other = await startSqsFrontEnd(here.server.url, 'f3')
    const ask = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 2 })
    const polling = [client, other.client, client, other.client].map((each) => each.send(ask))
    await wait(200)
    for (const body of ['1', '2', '3', '4']) await send(url, body)
    const answers = await Promise.all(polling)
    const got = answers.flatMap(({ Messages = [] }) => Messages)
    const WaitTimeSeconds = got.length < 4 ? 1 : 0
    const rest = await take(url, { MaxNumberOfMessages: 10, WaitTimeSeconds })
    expect(bodies([...got, ...rest])).toEqual(['1', '2', '3', '4'])
    await other.stop()
  })
})

describe('dead letters', () => {
  async function makePair(maxReceiveCount = 1): Promise<{ source: string; dead: string }> {
    const dead = await makeQueue()
    const deadLetterTargetArn = arnOf(nameOf(dead))
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount })
    return { dead, source: await makeQueue({ RedrivePolicy, VisibilityTimeout: '0' }) }
  }
  async function bury(source: string, body: string): Promise<void> {
    await send(source, body)
    await takeOne(source)
    expect(await take(source)).toEqual([])
  }

  // "If the ReceiveCount for a message exceeds the maxReceiveCount for a queue, Amazon SQS moves the message".
  test('go where they belong at the receive after the last, as what they were', async () => {
    const { source, dead } = await makePair(2)
    const sent = await send(source, 'message-1', {
      MessageAttributes: { MyAttribute: { DataType: 'String', StringValue: 'foobar' } },
    })
    const all = { AttributeNames: ['All' as const], MessageAttributeNames: ['All'] }
    const first = await takeOne(source, all)
    await takeOne(source)
    expect(await take(dead)).toEqual([])
    expect(await take(source)).toEqual([])
    const message = await takeOne(dead, all)
    expect(message).toMatchObject({
      MessageId: sent.MessageId,
      Body: 'message-1',
      MessageAttributes: { MyAttribute: { StringValue: 'foobar' } },
      Attributes: {
        // AWS counts on.
        ApproximateReceiveCount: '3',
        DeadLetterQueueSourceArn: arnOf(nameOf(source)),
        SentTimestamp: first.Attributes?.['SentTimestamp'],
      },
    })
    await expect.poll(() => countsOf(source)).toBe('0 0 0')
  })

  test('do not keep the messages behind them waiting', async () => {
    const { source } = await makePair()
    await send(source, 'dead')
    await takeOne(source)
    await send(source, 'alive')
    expect((await takeOne(source)).Body).toBe('alive')
  })

  test('stay where they are while their queue is not there', async () => {
    const { source, dead } = await makePair()
    await send(source, 'm')
    await takeOne(source)
    await client.send(new DeleteQueueCommand({ QueueUrl: dead }))
    await takeOne(source)
    await makeQueue({}, nameOf(dead))
    expect(await take(source)).toEqual([])
    await takeOne(dead)
  })

  test('know the queues that they come from', async () => {
    const { source, dead } = await makePair()
    const asked = new ListDeadLetterSourceQueuesCommand({ QueueUrl: dead })
    expect((await client.send(asked)).queueUrls).toEqual([source])
    await client.send(
      new SetQueueAttributesCommand({ QueueUrl: source, Attributes: { RedrivePolicy: '' } }),
    )
    expect((await client.send(asked)).queueUrls).toEqual([])
    expect((await attributesOf(source))['RedrivePolicy']).toBeUndefined()
  })

  test.each([
    [
      '{"maxReceiveCount":1}',
      'Redrive policy does not contain mandatory attribute: deadLetterTargetArn.',
    ],
    [
      `{"deadLetterTargetArn":"${arnOf('nope')}"}`,
      'Redrive policy does not contain mandatory attribute: maxReceiveCount.',
    ],
    [
      `{"deadLetterTargetArn":"${arnOf('nope')}","maxReceiveCount":"0"}`,
      'Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.',
    ],
    [
      `{"deadLetterTargetArn":"${arnOf('nope')}","maxReceiveCount":"3"}`,
      'Dead letter target does not exist.',
    ],
  ])('do not go by %s', async (RedrivePolicy, reason) => {
    expect(await refusal(makeQueue({ RedrivePolicy }))).toEqual([
      'InvalidParameterValue',
      'InvalidParameterValue',
      400,
      `Value ${RedrivePolicy} for parameter RedrivePolicy is invalid. Reason: ${reason}`,
    ])
  })

  // RedriveAllowPolicy: "which source queues can specify this queue as the dead-letter queue".
  test('go only into queues that allow it', async () => {
    const dead = await makeQueue({ RedriveAllowPolicy: '{"redrivePermission":"denyAll"}' })
    const deadLetterTargetArn = arnOf(nameOf(dead))
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 })
    expect((await refusal(makeQueue({ RedrivePolicy }, 'may')))[1]).toBe('InvalidParameterValue')
    const allow = (names: string[]) =>
      JSON.stringify({ redrivePermission: 'byQueue', sourceQueueArns: names.map(arnOf) })
    const Attributes = { RedriveAllowPolicy: allow(['may']) }
    await client.send(new SetQueueAttributesCommand({ QueueUrl: dead, Attributes }))
    expect((await attributesOf(dead))['RedriveAllowPolicy']).toBe(allow(['may']))
    await makeQueue({ RedrivePolicy }, 'may')
    expect((await refusal(makeQueue({ RedrivePolicy }, 'may-not')))[1]).toBe(
      'InvalidParameterValue',
    )
  })

  async function tasksOf(dead: string) {
    const asked = { SourceArn: arnOf(nameOf(dead)), MaxResults: 10 }
    return (await client.send(new ListMessageMoveTasksCommand(asked))).Results ?? []
  }
  const start = (dead: string, more: object = {}) =>
    client.send(new StartMessageMoveTaskCommand({ SourceArn: arnOf(nameOf(dead)), ...more }))

  test('are moved back to where they came from, as new messages', async () => {
    const { source, dead } = await makePair()
    await bury(source, 'a')
    await bury(source, 'b')
    const { TaskHandle } = await start(dead)
    expect(TaskHandle).toMatch(/^[\w+/=]+$/)
    await expect.poll(() => countsOf(source), { timeout: 5_000 }).toBe('2 0 0')
    await expect.poll(async () => (await tasksOf(dead))[0]?.Status).toBe('COMPLETED')
    expect(await tasksOf(dead)).toEqual([
      {
        Status: 'COMPLETED',
        SourceArn: arnOf(nameOf(dead)),
        ApproximateNumberOfMessagesMoved: 2,
        ApproximateNumberOfMessagesToMove: 2,
        StartedTimestamp: expect.any(Number),
      },
    ])
    const { Attributes } = await takeOne(source, {
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    })
    expect(Attributes).toEqual({ ApproximateReceiveCount: '1' })
  })

  test('are moved no faster than that, one task at a time, until it is cancelled', async () => {
    const { source, dead } = await makePair()
    for (let count = 0; count < 8; count++) await bury(source, `${count}`)
    const DestinationArn = arnOf(nameOf(await makeQueue()))
    const { TaskHandle } = await start(dead, { DestinationArn, MaxNumberOfMessagesPerSecond: 1 })
    expect(await refusal(start(dead))).toEqual([
      'InvalidParameterValue',
      'InvalidParameterValue',
      400,
      'There is already a task running. Only one active task is allowed for a source queue arn at a given time.',
    ])
    await expect
      .poll(async () => (await tasksOf(dead))[0]?.ApproximateNumberOfMessagesMoved, {
        timeout: 5_000,
      })
      .toBeGreaterThan(1)
    expect((await tasksOf(dead))[0]).toMatchObject({
      Status: 'RUNNING',
      TaskHandle,
      DestinationArn,
      MaxNumberOfMessagesPerSecond: 1,
    })
    await client.send(new CancelMessageMoveTaskCommand({ TaskHandle }))
    await expect
      .poll(async () => (await tasksOf(dead))[0]?.Status, { timeout: 5_000 })
      .toBe('CANCELLED')
    expect((await tasksOf(dead))[0]?.ApproximateNumberOfMessagesMoved).toBeLessThan(7)
  })

  test('are moved on by another front end when the first one ends', {
    timeout: 30_000,
  }, async () => {
    const { source, dead } = await makePair()
    for (let count = 0; count < 5; count++) await bury(source, `${count}`)
    const other = await startSqsFrontEnd(here.server.url, 'f4')
    const begin = { SourceArn: arnOf(nameOf(dead)), MaxNumberOfMessagesPerSecond: 2 }
    await other.client.send(new StartMessageMoveTaskCommand(begin))
    await wait(600)
    await other.stop()
    await expect
      .poll(async () => (await tasksOf(dead))[0], { timeout: 15_000 })
      .toMatchObject({ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 5 })
    await expect.poll(() => countsOf(source)).toBe('5 0 0')
    await expect.poll(() => countsOf(dead)).toBe('0 0 0')
  })

  test('are not moved without knowing where to', async () => {
    const { dead } = await makePair()
    await send(dead, 'by hand')
    await start(dead)
    await expect
      .poll(async () => (await tasksOf(dead))[0])
      .toMatchObject({ Status: 'FAILED', FailureReason: 'CouldNotDetermineMessageSource' })
    await takeOne(dead)
  })

  test('are moved out of dead-letter queues only', async () => {
    expect(await refusal(start(await makeQueue()))).toEqual([
      'InvalidParameterValue',
      'InvalidParameterValue',
      400,
      'Source queue must be configured as a Dead Letter Queue.',
    ])
    expect(await refusal(start('nope'))).toEqual([
      'ResourceNotFoundException',
      'ResourceNotFoundException',
      404,
      "The resource that you specified for the SourceArn parameter doesn't exist.",
    ])
    const cancel = (TaskHandle: string) =>
      refusal(client.send(new CancelMessageMoveTaskCommand({ TaskHandle })))
    expect((await cancel('x'))[3]).toBe('Value for parameter TaskHandle is invalid.')
    const sourceArn = arnOf(nameOf(await makeQueue()))
    const handle = Buffer.from(JSON.stringify({ taskId: 't', sourceArn })).toString('base64')
    expect((await cancel(handle))[3]).toBe('Task does not exist.')
  })
})

describe('settings', () => {
  test('are changed for what is received after', async () => {
    const url = await makeQueue()
    const before = await attributesOf(url)
    const Attributes = { VisibilityTimeout: '1', DelaySeconds: '3' }
    await client.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes }))
    const after = await attributesOf(url)
    expect(after).toEqual({
      ...before,
      ...Attributes,
      LastModifiedTimestamp: after['LastModifiedTimestamp'],
    })
    await send(url, 'm')
    expect(await take(url)).toEqual([])
    await takeOne(url)
    await takeOne(url, { WaitTimeSeconds: 10 })
  })

  test('that are wrong change nothing', async () => {
    const url = await makeQueue()
    const Attributes = { VisibilityTimeout: '1', DelaySeconds: '901' }
    const asked = client.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes }))
    expect((await refusal(asked))[0]).toBe('InvalidAttributeValue')
    expect((await attributesOf(url))['VisibilityTimeout']).toBe('30')
  })
})

describe('over the wire', () => {
  test('nobody is answered who has not signed for SQS', async () => {
    const { SQSClient } = await import('@aws-sdk/client-sqs')
    const stranger = new SQSClient({
      endpoint: here.url,
      region: 'us-east-1',
      maxAttempts: 1,
      credentials: { accessKeyId: 'test', secretAccessKey: 'wrong' },
    })
    const [name, code, status] = await refusal(stranger.send(new ListQueuesCommand({})))
    expect([name, code, status]).toEqual(['SignatureDoesNotMatch', 'SignatureDoesNotMatch', 403])
    stranger.destroy()
    const headers = { 'x-amz-target': 'AmazonSQS.ListQueues' }
    const unsigned = await fetch(here.url, { method: 'POST', headers })
    expect(unsigned.status).toBe(403)
    expect(await unsigned.json()).toMatchObject({
      __type: 'com.amazon.coral.service#MissingAuthenticationTokenException',
    })
  })

  test('NATS takes and gives the same JSON, and refuses as its services do', async () => {
    const url = await makeQueue()
    const ask = async (operation: string, input: object) => {
      const answer = await here.bus.request(sqsApi(operation), JSON.stringify(input))
      if (typeof answer === 'string') throw new Error(answer)
      return answer
    }
    const sent = await ask('SendMessage', { QueueUrl: nameOf(url), MessageBody: 'over NATS' })
    expect(sent.json()).toMatchObject({ MessageId: expect.any(String) })
    expect((await takeOne(url)).Body).toBe('over NATS')
    const refused = await ask('SendMessage', { QueueUrl: 'nope', MessageBody: 'x' })
    expect(refused.headers?.get('Nats-Service-Error-Code')).toBe('400')
    expect(refused.headers?.get('Nats-Service-Error')).toBe(
      'QueueDoesNotExist: The specified queue does not exist.',
    )
    expect(refused.json()).toEqual({
      __type: 'com.amazonaws.sqs#QueueDoesNotExist',
      message: 'The specified queue does not exist.',
    })
    for (let count = 0; count < 9; count++) await send(url, 'x'.repeat(1_048_576))
    const most = { QueueUrl: url, MaxNumberOfMessages: 10, VisibilityTimeout: 0 }
    const tooMuch = await ask('ReceiveMessage', most)
    expect(tooMuch.headers?.get('X-Amzn-ErrorType')).toBe('RequestEntityTooLargeException')
    const unknown = await ask('Nope', {})
    expect(unknown.headers?.get('X-Amzn-ErrorType')).toBe('UnknownOperationException')
    const wrong = await ask('SendMessage', { QueueUrl: 'q', MessageBody: 1 })
    expect(wrong.headers?.get('X-Amzn-ErrorType')).toBe('SerializationException')
    expect(anySqsApi).toBe('lambus.sqs.api.*')
  })
})
