/**
 * What is set for asynchronous invocation, one sentence of AWS's per test. Sections are those of lambda-semantics.md, tests
 * those of LocalStack's TestLambdaEventInvokeConfig, recorded on AWS (2025-11).
 */
import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  DeleteFunctionEventInvokeConfigCommand,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  ListFunctionEventInvokeConfigsCommand,
  PutFunctionEventInvokeConfigCommand,
  UpdateFunctionEventInvokeConfigCommand,
  waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { arnOf, type ControlPlane, createInput, startControlPlane } from './control-plane.ts'

let plane: ControlPlane
let name: string
let count = 0
beforeAll(async () => {
  plane = await startControlPlane()
  await send(new CreateFunctionCommand(createInput('other')))
  await plane.makeQueue('failures')
})
afterAll(() => plane.stop())
beforeEach(async () => {
  name = `f${++count}`
  await send(new CreateFunctionCommand(createInput(name)))
})

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const put = (more: object) =>
  send(new PutFunctionEventInvokeConfigCommand({ FunctionName: name, ...more }))
const update = (more: object) =>
  send(new UpdateFunctionEventInvokeConfigCommand({ FunctionName: name, ...more }))
const get = (more: object = {}) =>
  send(new GetFunctionEventInvokeConfigCommand({ FunctionName: name, ...more }))
const remove = (more: object = {}) =>
  send(new DeleteFunctionEventInvokeConfigCommand({ FunctionName: name, ...more }))
const list = (more: object = {}) =>
  send(new ListFunctionEventInvokeConfigsCommand({ FunctionName: name, ...more }))

const refusedAs = (Code: string, status: number, message: string) => ({
  name: Code,
  message,
  $metadata: { httpStatusCode: status },
})
const invalid = (message: string) => refusedAs('InvalidParameterValueException', 400, message)
const notFound = (message: string) => refusedAs('ResourceNotFoundException', 404, message)
const noConfig = (arn: string) => notFound(`The function ${arn} doesn't have an EventInvokeConfig`)
const noFunction = notFound("The function doesn't exist.")

const none = { OnSuccess: {}, OnFailure: {} }
const shown = (more: object = {}) => ({
  $metadata: expect.objectContaining({ httpStatusCode: 200 }),
  LastModified: expect.any(Date),
  FunctionArn: `${arnOf(name)}:$LATEST`,
  DestinationConfig: none,
  ...more,
})
const sqs = 'arn:aws:sqs:us-east-1:000000000000:failures'

describe('what is set', () => {
  // test_lambda_eventinvokeconfig_lifecycle
  test('leaves out what is not set, but never the destinations', async () => {
    const first = { MaximumRetryAttempts: 0 }
    expect(await put(first)).toEqual(shown(first))
    const second = { MaximumEventAgeInSeconds: 60 }
    expect(await put(second)).toEqual(shown(second))
    expect(await get()).toEqual(shown(second))
  })

  // put_maxevent_maxvalue_result
  test('reaches up to AWS’s limits', async () => {
    const most = { MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 21_600 }
    expect(await put(most)).toEqual(shown(most))
  })

  // put_post_overwrite, get_post_overwrite
  test('is overwritten by a PUT as a whole', async () => {
    await put({ MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 60 })
    await put({ MaximumRetryAttempts: 0 })
    expect(await get()).toEqual(shown({ MaximumRetryAttempts: 0 }))
  })

  // update_invokeconfig_eventage_nochange, update_invokeconfig_retries, update_response
  test('is changed by a POST in what is given only', async () => {
    await put({
      MaximumEventAgeInSeconds: 60,
      DestinationConfig: { OnFailure: { Destination: sqs } },
    })
    expect(await update({ MaximumRetryAttempts: 1 })).toEqual(
      shown({
        MaximumEventAgeInSeconds: 60,
        MaximumRetryAttempts: 1,
        DestinationConfig: { OnSuccess: {}, OnFailure: { Destination: sqs } },
      }),
    )
    await update({ DestinationConfig: { OnSuccess: { Destination: arnOf('other') } } })
    expect((await get()).DestinationConfig).toEqual({
      OnSuccess: { Destination: arnOf('other') },
      OnFailure: { Destination: sqs },
    })
    await update({ DestinationConfig: { OnFailure: { Destination: '' } } })
    expect((await get()).DestinationConfig).toEqual({
      OnSuccess: { Destination: arnOf('other') },
      OnFailure: {},
    })
  })

  // put_destination_success_no_destination_arn, put_destination_failure_no_destination_arn; put_empty_failure_destination
  // of a native recording (2026-09)
  test.each([{ OnSuccess: {} }, { OnFailure: {} }, { OnFailure: { Destination: '' } }])(
    'may be no destination: %j',
    async (DestinationConfig) => {
      expect(await put({ DestinationConfig })).toEqual(shown())
      expect(await get()).toEqual(shown())
    },
  )

  // put_destination_latest_explicit_qualifier, put_shorthand_qualifier_match, get_invokeconfig_latest
  test('for $LATEST is the same, whether the qualifier is given or not', async () => {
    await put({ Qualifier: '$LATEST', MaximumRetryAttempts: 1 })
    expect(await get()).toEqual(shown({ MaximumRetryAttempts: 1 }))
    await put({ FunctionName: `${name}:$LATEST`, Qualifier: '$LATEST', MaximumRetryAttempts: 0 })
    expect(await get({ Qualifier: '$LATEST' })).toEqual(shown({ MaximumRetryAttempts: 0 }))
    await remove({ FunctionName: `${arnOf(name)}:$LATEST` })
    await expect(get()).rejects.toMatchObject(noConfig(`${arnOf(name)}:$LATEST`))
  })

  // service model: Date is a timestamp, in REST-JSON a number of seconds
  test('has its time in JSON as a number of seconds', async () => {
    await put({ MaximumRetryAttempts: 1 })
    const { LastModified } = await get()
    const body = JSON.stringify({ FunctionName: name })
    const answer = await plane.bus.request('lambus.api.GetFunctionEventInvokeConfig', body, {
      timeoutMs: 20_000,
    })
    if (typeof answer === 'string') throw new Error(answer)
    const seconds = answer.json<{ LastModified: number }>().LastModified
    expect(seconds).toBe(LastModified.getTime() / 1_000)
    expect(Math.abs(seconds - Date.now() / 1_000)).toBeLessThan(60)
    expect(Object.keys(answer.json<object>())).toEqual([
      'LastModified',
      'FunctionArn',
      'MaximumRetryAttempts',
      'DestinationConfig',
    ])
  })

  test('changes neither the function’s revision nor what serves', async () => {
    await waitUntilFunctionActiveV2(
      { client: plane.client, maxWaitTime: 10, minDelay: 0.05, maxDelay: 0.1 },
      { FunctionName: name },
    )
    const configuration = async () => {
      const { $metadata: _, ...shown } = await send(
        new GetFunctionConfigurationCommand({ FunctionName: name }),
      )
      return shown
    }
    const before = await configuration()
    await put({ MaximumRetryAttempts: 0 })
    await remove()
    expect(await configuration()).toEqual(before)
  })

  // delete_latest, list_configs_postdelete, delete_function_not_found
  test('is deleted with 204, and only once', async () => {
    await put({ MaximumRetryAttempts: 0 })
    expect((await remove()).$metadata.httpStatusCode).toBe(204)
    expect((await list()).FunctionEventInvokeConfigs).toEqual([])
    await expect(remove()).rejects.toMatchObject(noConfig(`${arnOf(name)}:$LATEST`))
  })

  test('goes with its function', async () => {
    await put({ MaximumRetryAttempts: 0 })
    await send(new DeleteFunctionCommand({ FunctionName: name }))
    await send(new CreateFunctionCommand(createInput(name)))
    await expect(get()).rejects.toMatchObject(noConfig(`${arnOf(name)}:$LATEST`))
  })
})

describe('a list', () => {
  // list_single_invokeconfig
  test('shows what is set', async () => {
    await put({ MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 1 })
    const { FunctionEventInvokeConfigs, NextMarker } = await list({ MaxItems: 1 })
    const { $metadata: _, ...config } = shown({
      MaximumEventAgeInSeconds: 60,
      MaximumRetryAttempts: 1,
    })
    expect(FunctionEventInvokeConfigs).toEqual([config])
    expect(NextMarker).toBeUndefined()
  })

  // service model: 1–50
  test.each([
    [0, 'greater than or equal to 1'],
    [51, 'less than or equal to 50'],
  ])('of %d is refused', async (MaxItems, constraint) => {
    await expect(list({ MaxItems })).rejects.toMatchObject(
      refusedAs(
        'ValidationException',
        400,
        `1 validation error detected: Value '${MaxItems}' at 'maxItems' failed to satisfy constraint: Member must have value ${constraint}`,
      ),
    )
  })

  test('goes on only where one ended', async () => {
    await expect(list({ Marker: 'x y' })).rejects.toMatchObject(
      invalid('The Marker is not one that ListFunctionEventInvokeConfigs gave.'),
    )
  })
})

describe('what is not there', () => {
  // put_functionname_name_notfound, put_functionname_arn_notfound, list_function_doesnotexist,
  // update_eventinvokeconfig_function_doesnotexist
  test('cannot be set, changed or listed', async () => {
    for (const FunctionName of ['doesnotexist', arnOf('doesnotexist')]) {
      const input = { FunctionName, MaximumRetryAttempts: 1 }
      await expect(put(input)).rejects.toMatchObject(noFunction)
      await expect(update(input)).rejects.toMatchObject(noFunction)
      await expect(list({ FunctionName })).rejects.toMatchObject(noFunction)
    }
  })

  // put_functionname_nootherargs: what is missing in the request is told before what is missing here
  test.each([
    {},
    // put_empty_destination_config of a native recording (2026-09)
    { DestinationConfig: {} },
  ])('is not looked for by a request that sets nothing: %j', async (nothing) => {
    const refusal = invalid(
      'You must specify at least one of error handling or destination setting.',
    )
    await expect(put({ FunctionName: 'doesnotexist', ...nothing })).rejects.toMatchObject(refusal)
    await expect(update({ FunctionName: 'doesnotexist', ...nothing })).rejects.toMatchObject(
      refusal,
    )
  })

  // get_function_doesnotexist, delete_function_doesnotexist, test_ops_on_nonexisting_fn[get_function_event_invoke_config]
  test('has no configuration either', async () => {
    const missing = noConfig(`${arnOf('doesnotexist')}:$LATEST`)
    await expect(get({ FunctionName: 'doesnotexist' })).rejects.toMatchObject(missing)
    await expect(remove({ FunctionName: 'doesnotexist' })).rejects.toMatchObject(missing)
  })

  // update_eventinvokeconfig_config_doesnotexist_without_qualifier
  test('cannot be changed, only set', async () => {
    await expect(update({ MaximumRetryAttempts: 0 })).rejects.toMatchObject(
      noConfig(`${arnOf(name)}:$LATEST`),
    )
  })

  // put_alias_doesnotexist, get_qualifier_doesnotexist, test_ops_on_nonexisting_version[get_function_event_invoke_config]
  test.each(['doesnotexist', '1221', 'constructor'])(
    'as the version or alias %s',
    async (Qualifier) => {
      await put({ MaximumRetryAttempts: 0 })
      await expect(put({ Qualifier, MaximumRetryAttempts: 1 })).rejects.toMatchObject(noFunction)
      const missing = noConfig(`${arnOf(name)}:${Qualifier}`)
      await expect(get({ Qualifier })).rejects.toMatchObject(missing)
      await expect(get({ FunctionName: `${arnOf(name)}:${Qualifier}` })).rejects.toMatchObject(
        missing,
      )
      await expect(remove({ Qualifier })).rejects.toMatchObject(missing)
    },
  )

  // put_alias_qualifiedarn_qualifierconflict, put_shorthand_qualifier_mismatch_2
  test('cannot be named in two ways at once', async () => {
    const mismatch = invalid(
      'The derived qualifier from the function name does not match the specified qualifier.',
    )
    const input = { Qualifier: '1', MaximumRetryAttempts: 1 }
    for (const FunctionName of [`${name}:$LATEST`, `${arnOf(name)}:$LATEST`]) {
      await expect(put({ ...input, FunctionName })).rejects.toMatchObject(mismatch)
    }
  })

  // test_get_function_wrong_region[get_function_event_invoke_config]
  test('nor what is in another region', async () => {
    const FunctionName = arnOf('f').replace('us-east-1', 'eu-west-1')
    await expect(get({ FunctionName })).rejects.toMatchObject(
      notFound("Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"),
    )
  })
})

describe('the service model is held to', () => {
  const complaint = (value: unknown, at: string, constraint: string) =>
    refusedAs(
      'ValidationException',
      400,
      `1 validation error detected: Value '${value}' at '${at}' failed to satisfy constraint: ${constraint}`,
    )

  // §4.2: MaximumRetryAttempts 0–2, MaximumEventAgeInSeconds 60–21600
  test.each([
    ['MaximumRetryAttempts', 3, 'Member must have value less than or equal to 2'],
    ['MaximumRetryAttempts', -1, 'Member must have value greater than or equal to 0'],
    ['MaximumEventAgeInSeconds', 59, 'Member must have value greater than or equal to 60'],
    ['MaximumEventAgeInSeconds', 21_601, 'Member must have value less than or equal to 21600'],
  ])('%s: %d', async (member, value, constraint) => {
    const at = member.charAt(0).toLowerCase() + member.slice(1)
    await expect(put({ [member]: value })).rejects.toMatchObject(complaint(value, at, constraint))
  })

  const pattern = String.raw`$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`
  // put_destination_invalid_arn_pattern
  test.each(['OnFailure', 'OnSuccess'])('%s is an ARN', async (side) => {
    const at = `destinationConfig.${side.charAt(0).toLowerCase()}${side.slice(1)}.destination`
    const constraint = `Member must satisfy regular expression pattern: ${pattern}`
    for (const Destination of [
      arnOf('f').replace(':lambda:', ':_-/!lambda:'),
      'q',
      'arn:lambus:nats:::',
    ]) {
      await expect(put({ DestinationConfig: { [side]: { Destination } } })).rejects.toMatchObject(
        complaint(Destination, at, constraint),
      )
    }
  })

  test('no member is passed over that nobody knows', async () => {
    const ask = async (input: object) => {
      const body = JSON.stringify({ FunctionName: name, ...input })
      const answer = await plane.bus.request('lambus.api.PutFunctionEventInvokeConfig', body, {
        timeoutMs: 20_000,
      })
      return typeof answer === 'string' ? answer : answer.json()
    }
    expect(await ask({ Retries: 1 })).toMatchObject({
      message: 'lambus does not know the setting Retries.',
    })
    expect(await ask({ DestinationConfig: { OnSuccess: { Arn: 'a' } } })).toMatchObject({
      message: 'lambus does not know the setting DestinationConfig.OnSuccess.Arn.',
    })
  })
})

describe('a destination', () => {
  const destined = (side: 'OnSuccess' | 'OnFailure', Destination: string) =>
    put({ DestinationConfig: { [side]: { Destination } } })

  // §4.2: SQS standard, SNS standard, Lambda (put_destination_other_lambda), EventBridge; DESIGN §3: a subject of NATS
  test.each([
    sqs,
    'arn:aws:sns:us-east-1:000000000000:topic',
    arnOf('other'),
    `${arnOf('other')}:$LATEST`,
    'arn:aws:events:us-east-1:000000000000:event-bus/default',
    'arn:lambus:nats:::orders.failed',
    'arn:lambus:nats:::lambus.sns.topic',
  ])('may be %s', async (Destination) => {
    for (const side of ['OnSuccess', 'OnFailure'] as const) {
      const set = await destined(side, Destination)
      expect(set.DestinationConfig).toEqual({ ...none, [side]: { Destination } })
    }
  })

  // put_destination_lambda_doesntexist
  test.each([
    arnOf('doesnotexist'),
    `${arnOf('other')}:1`,
    'arn:aws:lambda:us-east-1:000000000000:layer:l',
    'arn:aws:sqs:us-east-1:000000000000:no-such-queue',
    'arn:aws:sqs:us-east-1:000000000000:failures.fifo',
    'arn:aws:sqs:eu-west-1:000000000000:failures',
    'arn:aws:sqs:us-east-1:111111111111:failures',
    'arn:aws-cn:sqs:us-east-1:000000000000:failures',
    'arn:aws:sns:us-east-1:000000000000:topic:subscription',
    'arn:aws:events:us-east-1:000000000000:rule/r',
    'arn:lambus:nats:::lambus.pool.1.released',
    'arn:lambus:nats:::orders.*',
  ])('that is not there is invalid: %s', async (arn) => {
    await expect(destined('OnSuccess', arn)).rejects.toMatchObject(
      invalid(`The destination ARN ${arn} is invalid.`),
    )
    await expect(get()).rejects.toMatchObject(noConfig(`${arnOf(name)}:$LATEST`))
  })

  // public reports
  test('is no FIFO topic', async () => {
    await expect(
      destined('OnFailure', 'arn:aws:sns:us-east-1:000000000000:topic.fifo'),
    ).rejects.toMatchObject(
      invalid("FIFO-type Amazon SNS topics aren't supported as a destination."),
    )
  })

  // put_destination_recursive
  test('is not the function itself', async () => {
    for (const arn of [arnOf(name), `${arnOf(name)}:$LATEST`]) {
      await expect(destined('OnSuccess', arn)).rejects.toMatchObject(
        invalid("You can't specify the function as a destination for itself."),
      )
    }
  })

  // put_destination_invalid_service_arn; AWS delivers failures to S3, lambus does not
  test('is of a service that is delivered to', async () => {
    const iam = arnOf(name).replace(':lambda:', ':iam:')
    await expect(destined('OnSuccess', iam)).rejects.toMatchObject(
      invalid(
        `The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=${iam}), onFailure=null) is invalid.`,
      ),
    )
    for (const arn of ['arn:aws:s3:::bucket', 'kafka://topic']) {
      await expect(destined('OnFailure', arn)).rejects.toMatchObject(
        invalid(
          `The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination=${arn})) is invalid.`,
        ),
      )
    }
    const both = { OnSuccess: { Destination: sqs }, OnFailure: { Destination: 'arn:aws:s3:::b' } }
    await expect(put({ DestinationConfig: both })).rejects.toMatchObject(
      invalid(
        `The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=${sqs}), onFailure=OnFailure(destination=arn:aws:s3:::b)) is invalid.`,
      ),
    )
  })
})
