/**
 * SQS's operations and the shapes of what goes in and comes out: one table, from which both protocols are read and written.
 *
 * Members are named as in the JSON protocol. In the older one a list is flat, `AttributeName.1`, and so is a map,
 * `Attribute.1.Name` and `Attribute.1.Value`: `as` is the name that its elements have there.
 * Source: SQS API reference, and the service models of both protocols.
 */
export type SqsShape =
  | { kind: 'text' | 'integer' | 'boolean' | 'bytes' }
  | { kind: 'list'; as: string; of: SqsShape }
  | { kind: 'map'; as: string; key: string; value: string; of: SqsShape }
  | SqsStructure

export type SqsStructure = {
  kind: 'structure'
  members: Record<string, SqsShape>
  required: readonly string[]
}

const text: SqsShape = { kind: 'text' }
const integer: SqsShape = { kind: 'integer' }
const boolean: SqsShape = { kind: 'boolean' }
const list = (as: string, of: SqsShape = text): SqsShape => ({ kind: 'list', as, of })
const map = (as: string, of: SqsShape = text, key = 'Name'): SqsShape => ({
  kind: 'map',
  as,
  key,
  value: 'Value',
  of,
})
const structure = (
  members: Record<string, SqsShape>,
  required: readonly string[] = [],
): SqsStructure => ({ kind: 'structure', members, required })

const attributeValue = structure(
  {
    DataType: text,
    StringValue: text,
    BinaryValue: { kind: 'bytes' },
    StringListValues: list('StringListValue'),
    BinaryListValues: list('BinaryListValue', { kind: 'bytes' }),
  },
  ['DataType'],
)
const tags = map('Tag', text, 'Key')
const newMessage = {
  MessageBody: text,
  DelaySeconds: integer,
  MessageAttributes: map('MessageAttribute', attributeValue),
  MessageSystemAttributes: map('MessageSystemAttribute', attributeValue),
  MessageDeduplicationId: text,
  MessageGroupId: text,
}
const sent = {
  MessageId: text,
  MD5OfMessageBody: text,
  MD5OfMessageAttributes: text,
  MD5OfMessageSystemAttributes: text,
}
const message = structure({
  MessageId: text,
  ReceiptHandle: text,
  MD5OfBody: text,
  Body: text,
  Attributes: map('Attribute'),
  MD5OfMessageAttributes: text,
  MessageAttributes: map('MessageAttribute', attributeValue),
})
const failures = list(
  'BatchResultErrorEntry',
  structure({ Id: text, SenderFault: boolean, Code: text, Message: text }),
)
const moveTask = structure({
  TaskHandle: text,
  Status: text,
  SourceArn: text,
  DestinationArn: text,
  MaxNumberOfMessagesPerSecond: integer,
  ApproximateNumberOfMessagesMoved: integer,
  ApproximateNumberOfMessagesToMove: integer,
  FailureReason: text,
  StartedTimestamp: integer,
})

type Operation = { input: SqsStructure; output: SqsStructure }

const takes = (
  members: Record<string, SqsShape>,
  required: readonly string[],
  output: Record<string, SqsShape> = {},
): Operation => ({ input: structure(members, required), output: structure(output) })

/** Of an operation on one queue. */
const onQueue = (
  members: Record<string, SqsShape>,
  required: readonly string[],
  output: Record<string, SqsShape> = {},
): Operation => takes({ QueueUrl: text, ...members }, ['QueueUrl', ...required], output)

const batch = (name: string, entry: SqsStructure, result: Record<string, SqsShape>): Operation =>
  onQueue({ Entries: list(`${name}RequestEntry`, entry) }, [], {
    Successful: list(`${name}ResultEntry`, structure(result)),
    Failed: failures,
  })

const pages = { NextToken: text, MaxResults: integer }

export const sqsOperations = {
  CancelMessageMoveTask: takes({ TaskHandle: text }, ['TaskHandle'], {
    ApproximateNumberOfMessagesMoved: integer,
  }),
  ChangeMessageVisibility: onQueue({ ReceiptHandle: text, VisibilityTimeout: integer }, [
    'ReceiptHandle',
    'VisibilityTimeout',
  ]),
  ChangeMessageVisibilityBatch: batch(
    'ChangeMessageVisibilityBatch',
    structure({ Id: text, ReceiptHandle: text, VisibilityTimeout: integer }, [
      'Id',
      'ReceiptHandle',
    ]),
    { Id: text },
  ),
  CreateQueue: takes({ QueueName: text, Attributes: map('Attribute'), tags }, ['QueueName'], {
    QueueUrl: text,
  }),
  DeleteMessage: onQueue({ ReceiptHandle: text }, ['ReceiptHandle']),
  DeleteMessageBatch: batch(
    'DeleteMessageBatch',
    structure({ Id: text, ReceiptHandle: text }, ['Id', 'ReceiptHandle']),
    { Id: text },
  ),
  DeleteQueue: onQueue({}, []),
  GetQueueAttributes: onQueue({ AttributeNames: list('AttributeName') }, [], {
    Attributes: map('Attribute'),
  }),
  GetQueueUrl: takes({ QueueName: text, QueueOwnerAWSAccountId: text }, ['QueueName'], {
    QueueUrl: text,
  }),
  ListDeadLetterSourceQueues: onQueue(pages, [], { queueUrls: list('QueueUrl'), NextToken: text }),
  ListMessageMoveTasks: takes({ SourceArn: text, MaxResults: integer }, ['SourceArn'], {
    Results: list('ListMessageMoveTasksResultEntry', moveTask),
  }),
  ListQueues: takes({ QueueNamePrefix: text, ...pages }, [], {
    QueueUrls: list('QueueUrl'),
    NextToken: text,
  }),
  ListQueueTags: onQueue({}, [], { Tags: tags }),
  PurgeQueue: onQueue({}, []),
  ReceiveMessage: onQueue(
    {
      AttributeNames: list('AttributeName'),
      MessageSystemAttributeNames: list('MessageSystemAttributeName'),
      MessageAttributeNames: list('MessageAttributeName'),
      MaxNumberOfMessages: integer,
      VisibilityTimeout: integer,
      WaitTimeSeconds: integer,
      ReceiveRequestAttemptId: text,
    },
    [],
    { Messages: list('Message', message) },
  ),
  SendMessage: onQueue(newMessage, ['MessageBody'], sent),
  SendMessageBatch: batch(
    'SendMessageBatch',
    structure({ Id: text, ...newMessage }, ['Id', 'MessageBody']),
    { Id: text, ...sent },
  ),
  SetQueueAttributes: onQueue({ Attributes: map('Attribute') }, ['Attributes']),
  StartMessageMoveTask: takes(
    { SourceArn: text, DestinationArn: text, MaxNumberOfMessagesPerSecond: integer },
    ['SourceArn'],
    { TaskHandle: text },
  ),
  TagQueue: onQueue({ Tags: tags }, ['Tags']),
  UntagQueue: onQueue({ TagKeys: list('TagKey') }, ['TagKeys']),
} as const satisfies Record<string, Operation>

export type SqsOperation = keyof typeof sqsOperations

export const isSqsOperation = (name: string): name is SqsOperation =>
  Object.hasOwn(sqsOperations, name)

/** Permissions are the only ones left: lambus has one key that may do everything. */
export const unbuiltSqsOperations = ['AddPermission', 'RemovePermission'] as const
