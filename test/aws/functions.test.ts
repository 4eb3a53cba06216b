/** One sentence of AWS's control plane per test; sections are those of lambda-semantics.md, tests those of LocalStack. */

import { createHash } from 'node:crypto'
import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetAccountSettingsCommand,
  GetFunctionCommand,
  GetFunctionConfigurationCommand,
  ListFunctionsCommand,
  ListTagsCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateFunctionCodeCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  arnOf,
  type ControlPlane,
  createInput,
  role,
  startControlPlane,
  zip,
  zipOf,
} from './control-plane.ts'

let plane: ControlPlane
let name: string
let count = 0
beforeAll(async () => {
  plane = await startControlPlane()
})
afterAll(() => plane.stop())
beforeEach(() => {
  name = `f${++count}`
})

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const create = (more: object = {}) =>
  send(new CreateFunctionCommand({ ...createInput(name), ...more }))
const waiting = () => ({ client: plane.client, maxWaitTime: 10, minDelay: 0.05, maxDelay: 0.1 })
const active = () => waitUntilFunctionActiveV2(waiting(), { FunctionName: name })
const createActive = async (more: object = {}) => {
  await create(more)
  await active()
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('base64')
const refusedAs = (Code: string, status: number, message: string) => ({
  name: Code,
  message,
  $metadata: { httpStatusCode: status },
})

describe('CreateFunction', () => {
  // §2.3, test_lambda_code_location_zipfile
  test('answers 201 with the whole configuration, Pending', async () => {
    const created = await create({ Description: 'd', Timeout: 5, MemorySize: 256 })
    const { $metadata, LastModified, RevisionId, ...configuration } = created
    expect($metadata.httpStatusCode).toBe(201)
    expect(LastModified).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$/)
    expect(RevisionId).toMatch(/^[0-9a-f-]{36}$/)
    expect(configuration).toEqual({
      FunctionName: name,
      FunctionArn: arnOf(name),
      Runtime: 'nodejs24.x',
      Role: role,
      Handler: 'index.handler',
      CodeSize: zip.length,
      CodeSha256: sha256(zip),
      Description: 'd',
      Timeout: 5,
      MemorySize: 256,
      Version: '$LATEST',
      TracingConfig: { Mode: 'PassThrough' },
      PackageType: 'Zip',
      Architectures: [process.arch === 'arm64' ? 'arm64' : 'x86_64'],
      EphemeralStorage: { Size: 512 },
      SnapStart: { ApplyOn: 'None', OptimizationStatus: 'Off' },
      LoggingConfig: { LogFormat: 'Text', LogGroup: `/aws/lambda/${name}` },
      State: 'Pending',
      StateReason: 'The function is being created.',
      StateReasonCode: 'Creating',
    })
  })

  // Lambda API, CreateFunction
  test('has a timeout of 3 seconds and 128 MB when none are given', async () => {
    expect(await create()).toMatchObject({ Timeout: 3, MemorySize: 128, Description: '' })
  })

  // §2.3, test_function_lifecycle
  test('leads to Active, Successful, without a reason', async () => {
    await createActive({ Environment: { Variables: { KEY_A: 'b' } } })
    const { Configuration } = await send(new GetFunctionCommand({ FunctionName: name }))
    expect(Configuration).toMatchObject({
      State: 'Active',
      LastUpdateStatus: 'Successful',
      Environment: { Variables: { KEY_A: 'b' } },
    })
    expect(Configuration.StateReason).toBeUndefined()
  })

  // §2.3
  test('of a name that is taken is a conflict', async () => {
    await create()
    await expect(create()).rejects.toMatchObject(
      refusedAs('ResourceConflictException', 409, `Function already exist: ${name}`),
    )
  })

  // test_function_arns
  test('takes an ARN for a name', async () => {
    expect(await create({ FunctionName: arnOf(name) })).toMatchObject({ FunctionName: name })
  })
})

describe('GetFunction', () => {
  // §2.3
  test('gives a Location of the package', async () => {
    await create({ Tags: { key_a: 'value_a' } })
    const { Code, Tags } = await send(new GetFunctionCommand({ FunctionName: name }))
    expect(Tags).toEqual({ key_a: 'value_a' })
    expect(Code.RepositoryType).toBe('S3')
    const fetched = await fetch(Code.Location)
    expect(Buffer.from(await fetched.arrayBuffer())).toEqual(Buffer.from(zip))
  })

  // test_publish_version_on_create, get_function_latest_result
  test('with the qualifier $LATEST names it in the ARN', async () => {
    await create()
    const latest = { FunctionName: name, Qualifier: '$LATEST' }
    const { Configuration } = await send(new GetFunctionCommand(latest))
    expect(Configuration.FunctionArn).toBe(`${arnOf(name)}:$LATEST`)
  })

  // §1.8, test_ops_on_nonexisting_fn, test_ops_with_arn_qualifier_mismatch, test_ops_on_nonexisting_version
  test('of nothing names what was asked for', async () => {
    const notFound = (arn: string) =>
      refusedAs('ResourceNotFoundException', 404, `Function not found: ${arn}`)
    for (const Command of [GetFunctionCommand, GetFunctionConfigurationCommand]) {
      const ask = (Qualifier?: string) => send(new Command({ FunctionName: name, Qualifier }))
      await expect(ask()).rejects.toMatchObject(notFound(arnOf(name)))
      await expect(ask('$LATEST')).rejects.toMatchObject(notFound(`${arnOf(name)}:$LATEST`))
    }
    await create()
    await expect(
      send(new GetFunctionCommand({ FunctionName: name, Qualifier: '1221' })),
    ).rejects.toMatchObject(notFound(`${arnOf(name)}:1221`))
  })
})

describe('updates', () => {
  const update = (more: object = {}) =>
    send(new UpdateFunctionConfigurationCommand({ FunctionName: name, ...more }))
  const other = zipOf('export const handler = async () => 2')

  // §2.3, test_function_lifecycle
  test('answer 200, Active and InProgress, and end Successful', async () => {
    await createActive()
    const updated = await send(
      new UpdateFunctionCodeCommand({ FunctionName: name, ZipFile: other }),
    )
    expect(updated).toMatchObject({
      $metadata: { httpStatusCode: 200 },
      State: 'Active',
      LastUpdateStatus: 'InProgress',
      LastUpdateStatusReason: 'The function is being created.',
      LastUpdateStatusReasonCode: 'Creating',
      CodeSha256: sha256(other),
    })
    await waitUntilFunctionUpdatedV2(waiting(), { FunctionName: name })
  })

  // Lambda API, UpdateFunctionConfiguration
  test('of the configuration change what is given and nothing else', async () => {
    await createActive({ Timeout: 7, Environment: { Variables: { KEY_A: '1', KEY_B: '2' } } })
    expect(await update({ MemorySize: 512 })).toMatchObject({
      MemorySize: 512,
      Timeout: 7,
      Environment: { Variables: { KEY_A: '1', KEY_B: '2' } },
      CodeSha256: sha256(zip),
    })
  })

  // Lambda API, UpdateFunctionConfiguration
  test('of the environment replace all of it', async () => {
    await createActive({ Environment: { Variables: { KEY_A: '1', KEY_B: '2' } } })
    const { Environment } = await update({ Environment: { Variables: { KEY_C: '3' } } })
    expect(Environment).toEqual({ Variables: { KEY_C: '3' } })
  })

  // §2.3
  test('with a RevisionId that is not the latest are refused', async () => {
    await createActive()
    const stale = refusedAs(
      'PreconditionFailedException',
      412,
      'The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id',
    )
    await expect(update({ RevisionId: 'x', Timeout: 9 })).rejects.toMatchObject(stale)
    await expect(
      send(new UpdateFunctionCodeCommand({ FunctionName: name, ZipFile: other, RevisionId: 'x' })),
    ).rejects.toMatchObject(stale)
    const { RevisionId, Timeout } = await send(
      new GetFunctionConfigurationCommand({ FunctionName: name }),
    )
    expect(Timeout).toBe(3)
    expect((await update({ RevisionId, Timeout: 9 })).RevisionId).not.toBe(RevisionId)
  })

  // Lambda API, UpdateFunctionCode: DryRun
  test('that are a DryRun change nothing', async () => {
    await createActive()
    const before = plane.stored()
    await send(new UpdateFunctionCodeCommand({ FunctionName: name, ZipFile: other, DryRun: true }))
    const { CodeSha256, LastUpdateStatus } = await send(
      new GetFunctionConfigurationCommand({ FunctionName: name }),
    )
    expect([CodeSha256, LastUpdateStatus]).toEqual([sha256(zip), 'Successful'])
    expect(plane.stored()).toBe(before)
  })

  // §2.3: a function that is still being created; public reports of the sentence
  test('of a function that is still Pending, or being updated, are conflicts', async () => {
    await create()
    const outcomes = await Promise.allSettled([1, 2, 3].map((Timeout) => update({ Timeout })))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused) {
      expect(reason).toMatchObject({
        name: 'ResourceConflictException',
        $metadata: { httpStatusCode: 409 },
      })
      expect([
        'The operation cannot be performed at this time. The function is currently in the following state: Pending',
        `The operation cannot be performed at this time. An update is in progress for resource: ${arnOf(name)}`,
      ]).toContain(reason.message)
    }
  })

  // §1.8
  test('of nothing are refused', async () => {
    await expect(update({ Timeout: 4 })).rejects.toMatchObject(
      refusedAs('ResourceNotFoundException', 404, `Function not found: ${arnOf(name)}`),
    )
  })
})

describe('DeleteFunction', () => {
  const remove = (more: object = {}) =>
    send(new DeleteFunctionCommand({ FunctionName: name, ...more }))

  // §2.3, test_function_lifecycle
  test('answers 204, and then 404', async () => {
    await createActive()
    expect((await remove()).$metadata.httpStatusCode).toBe(204)
    await expect(remove()).rejects.toMatchObject(
      refusedAs('ResourceNotFoundException', 404, `Function not found: ${arnOf(name)}`),
    )
    expect(await create()).toMatchObject({ State: 'Pending' })
  })

  // test_ops_with_arn_qualifier_mismatch[delete_function]
  test('of $LATEST alone is refused', async () => {
    await expect(remove({ Qualifier: '$LATEST' })).rejects.toMatchObject(
      refusedAs(
        'InvalidParameterValueException',
        400,
        '$LATEST version cannot be deleted without deleting the function.',
      ),
    )
  })

  // test_function_name_and_qualifier_validation[function_name_and_qualifier_too_long-delete_function]
  test('of an alias is refused', async () => {
    await expect(remove({ Qualifier: 'a'.repeat(65) })).rejects.toMatchObject(
      refusedAs(
        'InvalidParameterValueException',
        400,
        'Deletion of aliases is not currently supported.',
      ),
    )
  })

  // test_function_name_and_qualifier_validation[lowercase_latest_qualifier-delete_function], test_delete_on_nonexisting_version
  test('of a version of nothing names the function alone', async () => {
    for (const Qualifier of ['$latest', '1221']) {
      await expect(remove({ Qualifier })).rejects.toMatchObject(
        refusedAs('ResourceNotFoundException', 404, `Function not found: ${arnOf(name)}`),
      )
    }
  })
})

describe('ListFunctions', () => {
  // Lambda API, ListFunctions; test_list_functions
  test('goes through all functions page by page, without their states', async () => {
    await create()
    const names: string[] = []
    let Marker: string | undefined
    do {
      const page = await send(new ListFunctionsCommand({ MaxItems: 3, Marker }))
      expect(page.Functions.length).toBeLessThanOrEqual(3)
      names.push(...page.Functions.map((one: { FunctionName: string }) => one.FunctionName))
      expect(page.Functions[0].State).toBeUndefined()
      Marker = page.NextMarker
    } while (Marker !== undefined)
    expect(names).toContain(name)
    expect(names).toEqual([...new Set(names)].sort())
  })

  test('shows what was just created, and no more what was just deleted', async () => {
    const listed = async () => {
      const { Functions } = await send(new ListFunctionsCommand({}))
      return Functions.map((one: { FunctionName: string }) => one.FunctionName)
    }
    for (const one of ['a1', 'a2', 'a3']) {
      await create({ FunctionName: one })
      expect(await listed()).toContain(one)
      await send(new DeleteFunctionCommand({ FunctionName: one }))
      expect(await listed()).not.toContain(one)
    }
  })

  // test_list_functions, list_all
  test('of all versions names the version in the ARN', async () => {
    await create()
    const { Functions } = await send(new ListFunctionsCommand({ FunctionVersion: 'ALL' }))
    for (const one of Functions) expect(one.FunctionArn).toBe(`${arnOf(one.FunctionName)}:$LATEST`)
  })

  // test_list_functions, list_functions_invalid_functionversion; Lambda API: MaxItems 1–10000
  test.each([
    [
      { FunctionVersion: 'invalid' },
      "Value 'invalid' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]",
    ],
    [
      { MaxItems: 0 },
      "Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1",
    ],
    [
      { MaxItems: 10_001 },
      "Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000",
    ],
  ])('with %j is refused', async (input, complaint) => {
    await expect(send(new ListFunctionsCommand(input as object))).rejects.toMatchObject(
      refusedAs('ValidationException', 400, `1 validation error detected: ${complaint}`),
    )
  })
})

// §3.1
test('GetAccountSettings tells the limits of an account and what is used', async () => {
  await create()
  const { AccountLimit, AccountUsage } = await send(new GetAccountSettingsCommand({}))
  expect(AccountLimit).toEqual({
    TotalCodeSize: 322_122_547_200,
    CodeSizeUnzipped: 262_144_000,
    CodeSizeZipped: 52_428_800,
    ConcurrentExecutions: 1000,
    UnreservedConcurrentExecutions: 1000,
  })
  expect(AccountUsage.FunctionCount).toBeGreaterThan(0)
  expect(AccountUsage.TotalCodeSize).toBeGreaterThanOrEqual(zip.length)
})

describe('tags', () => {
  const list = async () => (await send(new ListTagsCommand({ Resource: arnOf(name) }))).Tags
  const tag = (Tags: Record<string, string>, Resource = arnOf(name)) =>
    send(new TagResourceCommand({ Resource, Tags }))
  const untag = (TagKeys: string[], Resource = arnOf(name)) =>
    send(new UntagResourceCommand({ Resource, TagKeys }))

  // test_tag_lifecycle
  test('are added, replaced and removed by 204s', async () => {
    await create({ Tags: { key_a: 'value_a' } })
    expect((await tag({ key_b: 'value_b', key_c: 'c' })).$metadata.httpStatusCode).toBe(204)
    await tag({ key_c: 'value_x' })
    expect(await list()).toEqual({ key_a: 'value_a', key_b: 'value_b', key_c: 'value_x' })
    expect((await untag(['key_c', 'none'])).$metadata.httpStatusCode).toBe(204)
    expect(await list()).toEqual({ key_a: 'value_a', key_b: 'value_b' })
  })

  // test_tag_limits
  test('may be fifty, those that are there included', async () => {
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`k${n}`, 'v']))
    const tooMany = refusedAs(
      'InvalidParameterValueException',
      400,
      'Number of tags exceeds resource tag limit.',
    )
    await expect(create({ Tags: { ...many, more: 'v' } })).rejects.toMatchObject(tooMany)
    await create({ Tags: many })
    await expect(tag({ more: 'v' })).rejects.toMatchObject(tooMany)
    await tag({ k0: 'w' })
  })

  const pattern = String.raw`arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`
  const onVersions =
    'Tags on function aliases and versions are not supported. Please specify a function ARN.'
  const mapping =
    'arn:aws:lambda:us-east-1:000000000000:event-source-mapping:0f6a7b5c-1111-4222-8333-444444444444'
  // test_tag_exceptions, test_tag_versions, test_tag_nonexisting_resource
  test.each<[string, () => Promise<unknown>, string, number, string]>([
    [
      'what is no ARN of Lambda',
      () => tag({ a: 'b' }, 'arn:aws:something'),
      'ValidationException',
      400,
      `1 validation error detected: Value 'arn:aws:something' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: ${pattern}`,
    ],
    [
      'a function that is not there',
      () => tag({ a: 'b' }, arnOf('doesnotexist')),
      'ResourceNotFoundException',
      404,
      `Function not found: ${arnOf('doesnotexist')}`,
    ],
    [
      'a version',
      () => tag({ a: 'b' }, `${arnOf('f')}:1`),
      'InvalidParameterValueException',
      400,
      onVersions,
    ],
    [
      '$LATEST',
      () => tag({ a: 'b' }, `${arnOf('f')}:$LATEST`),
      'InvalidParameterValueException',
      400,
      onVersions,
    ],
    [
      'with nothing',
      () => tag({}, arnOf('f')),
      'InvalidParameterValueException',
      400,
      'An error occurred and the request cannot be processed.',
    ],
    [
      'an event source mapping that is not there',
      () => tag({ a: 'b' }, mapping),
      'ResourceNotFoundException',
      404,
      `Event source mapping not found: ${mapping}`,
    ],
    [
      'less by nothing',
      () => untag([], arnOf('f')),
      'ValidationException',
      400,
      "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    ],
  ])('tagging %s is refused', async (_, call, code, status, message) => {
    await expect(call()).rejects.toMatchObject(refusedAs(code, status, message))
  })
})
