/** Where the events go that a function cannot deal with: lambda-semantics.md §4.5. Part of the function's own settings. */
import {
  CreateFunctionCommand,
  GetFunctionConfigurationCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ControlPlane, createInput, startControlPlane } from './control-plane.ts'

let plane: ControlPlane
let name: string
let count = 0
beforeAll(async () => {
  plane = await startControlPlane()
  await plane.makeQueue('dead')
})
afterAll(() => plane.stop())
beforeEach(() => {
  name = `f${++count}`
})

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const waiting = () => ({ client: plane.client, maxWaitTime: 10, minDelay: 0.05, maxDelay: 0.1 })
const create = async (DeadLetterConfig?: object) => {
  const created = await send(new CreateFunctionCommand({ ...createInput(name), DeadLetterConfig }))
  await waitUntilFunctionActiveV2(waiting(), { FunctionName: name })
  return created
}
const update = async (more: object) => {
  const updated = await send(
    new UpdateFunctionConfigurationCommand({ FunctionName: name, ...more }),
  )
  await waitUntilFunctionUpdatedV2(waiting(), { FunctionName: name })
  return updated
}
const shown = async () =>
  (await send(new GetFunctionConfigurationCommand({ FunctionName: name }))).DeadLetterConfig

const queue = { TargetArn: 'arn:aws:sqs:us-east-1:000000000000:dead' }
const topic = { TargetArn: 'arn:aws:sns:us-east-1:000000000000:dead' }

// §4.5
test('a queue or a topic is set with the function and changed with it', async () => {
  expect((await create(queue)).DeadLetterConfig).toEqual(queue)
  expect(await shown()).toEqual(queue)
  expect((await update({ DeadLetterConfig: topic })).DeadLetterConfig).toEqual(topic)
  expect(await shown()).toEqual(topic)
})

// native recordings of GetFunctionConfiguration (2026-09)
test('it is shown between the version and what follows it', async () => {
  await create(queue)
  const answer = await plane.bus.request(
    'lambus.api.GetFunctionConfiguration',
    JSON.stringify({ FunctionName: name }),
    { timeoutMs: 20_000 },
  )
  if (typeof answer === 'string') throw new Error(answer)
  const members = Object.keys(answer.json<object>())
  expect(members.slice(members.indexOf('Version'))).toEqual(
    expect.arrayContaining(['Version', 'DeadLetterConfig', 'TracingConfig']),
  )
  expect(members[members.indexOf('Version') + 1]).toBe('DeadLetterConfig')
})

// §4.5: removed with the empty string
test.each([{ TargetArn: '' }, {}])('it is taken away by %j', async (DeadLetterConfig) => {
  await create(queue)
  expect((await update({ DeadLetterConfig })).DeadLetterConfig).toBeUndefined()
  expect(await shown()).toBeUndefined()
})

test('it stays when other settings change', async () => {
  await create(queue)
  await update({ Description: 'd' })
  expect(await shown()).toEqual(queue)
})

test.each([undefined, {}, { TargetArn: '' }])('a function may have none: %j', async (config) => {
  expect((await create(config)).DeadLetterConfig).toBeUndefined()
})

describe('a target is refused', () => {
  const invalid = (message: string) => ({
    name: 'InvalidParameterValueException',
    message,
    $metadata: { httpStatusCode: 400 },
  })
  const region =
    "Invalid dead letter queue ARN: The resource specified by the TargetArn must be in the same region as the Lambda function it's associated with."
  const service =
    'Invalid dead letter queue ARN: The service specified by the TargetArn is not supported for dead letter configuration.'
  // Public reports of what CreateFunction answers; the missing queue is a native recording (2026-09).
  test.each<[string, string]>([
    [
      'arn:aws:sqs:us-east-1:000000000000:dead.fifo',
      'Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter configuration',
    ],
    [
      'arn:aws:sns:us-east-1:000000000000:dead.fifo',
      'Invalid dead letter queue ARN: FIFO SNS topic is not supported for dead letter configuration',
    ],
    ['arn:aws:lambda:us-east-1:000000000000:function:f', service],
    ['arn:aws:kinesis:us-east-1:000000000000:stream/s', service],
    ['arn:aws:sqs:eu-west-1:000000000000:dead', region],
    ['arn:aws-cn:sqs:us-east-1:000000000000:dead', region],
    [
      'arn:aws:sqs:us-east-1:000000000000:no-such-queue',
      'Error occurred while SendMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.',
    ],
    [
      'arn:aws:sqs:us-east-1:111111111111:dead',
      'The provided execution role does not have permissions to call SendMessage on SQS',
    ],
    [
      'arn:aws:sns:us-east-1:111111111111:dead',
      'The provided execution role does not have permissions to call Publish on SNS',
    ],
    [
      'arn:aws:sns:us-east-1:000000000000:a:b',
      'Error occurred while Publish. SNS Error Code: NotFound. SNS Error Message: Topic does not exist',
    ],
  ])('%s', async (TargetArn, message) => {
    await expect(create({ TargetArn })).rejects.toMatchObject(invalid(message))
    await create(queue)
    await expect(update({ DeadLetterConfig: { TargetArn } })).rejects.toMatchObject(
      invalid(message),
    )
    expect(await shown()).toEqual(queue)
  })

  // service model, ResourceArn
  test.each(['dead', 'arn:lambus:nats:::dead'])(
    'that is no ARN of AWS’s: %s',
    async (TargetArn) => {
      await expect(create({ TargetArn })).rejects.toMatchObject({
        name: 'ValidationException',
        message: `1 validation error detected: Value '${TargetArn}' at 'deadLetterConfig.targetArn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()`,
      })
    },
  )
})
