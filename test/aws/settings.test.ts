/** What AWS, and what lambus, has against the settings of a function. lambda-semantics.md §2.3 and Appendix A. */
import * as sdk from '@aws-sdk/client-lambda'
import { describe, expect, test } from 'vitest'
import { isRefusal } from '../../edges/aws/errors.ts'
import {
  readCreate,
  readUpdateCode,
  readUpdateConfiguration,
} from '../../edges/aws/function-requests.ts'
import { shapes } from '../../edges/aws/function-shapes.ts'
import { architectureHere } from '../../edges/aws/unhonoured.ts'

const here = { region: 'us-east-1', account: '000000000000' }
const role = 'arn:aws:iam::000000000000:role/r'
const input = (more: object = {}) => ({
  FunctionName: 'f',
  Role: role,
  Runtime: 'nodejs24.x',
  Handler: 'index.handler',
  Code: { ZipFile: 'UEs=' },
  ...more,
})
const refusalOf = (more: object) => {
  const read = readCreate(input(more), here)
  return isRefusal(read) ? { code: read.code, message: read.message } : undefined
}
const invalid = (message: string) => ({ code: 'InvalidParameterValueException', message })
const validation = (...complaints: string[]) => ({
  code: 'ValidationException',
  message: `${complaints.length} validation error${complaints.length > 1 ? 's' : ''} detected: ${complaints.join('; ')}`,
})
const failed = (value: unknown, at: string, constraint: string) =>
  `Value '${value}' at '${at}' failed to satisfy constraint: ${constraint}`

describe('the service model is held to', () => {
  const enumOf = String.raw`arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`
  test.each<[string, object, ReturnType<typeof validation>]>([
    // test_create_lambda_exceptions, invalid_role_arn_exc
    [
      'a role',
      { Role: 'r1' },
      validation(failed('r1', 'role', `Member must satisfy regular expression pattern: ${enumOf}`)),
    ],
    // test_create_lambda_exceptions, multiple_architectures and uppercase_architecture
    [
      'one architecture',
      { Architectures: ['x86_64', 'arm64'] },
      validation(
        failed(
          '[x86_64, arm64]',
          'architectures',
          'Member must have length less than or equal to 1',
        ),
      ),
    ],
    [
      'a known architecture',
      { Architectures: ['X86_64'] },
      validation(
        failed(
          '[X86_64]',
          'architectures',
          'Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]',
        ),
      ),
    ],
    // test_snapstart_exceptions
    [
      'an enum within a structure',
      { SnapStart: { ApplyOn: 'invalidOption' } },
      validation(
        failed(
          'invalidOption',
          'snapStart.applyOn',
          'Member must satisfy enum value set: [PublishedVersions, None]',
        ),
      ),
    ],
    // §3.1
    [
      'the least memory',
      { MemorySize: 127 },
      validation(failed(127, 'memorySize', 'Member must have value greater than or equal to 128')),
    ],
    [
      'the most memory',
      { MemorySize: 10_241 },
      validation(
        failed(10_241, 'memorySize', 'Member must have value less than or equal to 10240'),
      ),
    ],
    [
      'the least timeout',
      { Timeout: 0 },
      validation(failed(0, 'timeout', 'Member must have value greater than or equal to 1')),
    ],
    [
      'the most timeout',
      { Timeout: 901 },
      validation(failed(901, 'timeout', 'Member must have value less than or equal to 900')),
    ],
    // service model
    [
      'the length of a description',
      { Description: 'd'.repeat(257) },
      validation(
        failed('d'.repeat(257), 'description', 'Member must have length less than or equal to 256'),
      ),
    ],
    [
      'a handler without blanks',
      { Handler: 'a b' },
      validation(
        failed(
          'a b',
          'handler',
          String.raw`Member must satisfy regular expression pattern: [^\s]+`,
        ),
      ),
    ],
    [
      'several at once',
      { Timeout: 0, MemorySize: 1 },
      validation(
        failed(0, 'timeout', 'Member must have value greater than or equal to 1'),
        failed(1, 'memorySize', 'Member must have value greater than or equal to 128'),
      ),
    ],
    [
      'required members',
      { Role: undefined, Code: null },
      validation(
        "Value null at 'role' failed to satisfy constraint: Member must not be null",
        "Value null at 'code' failed to satisfy constraint: Member must not be null",
      ),
    ],
    // test_function_arns, invalid_function_name_exc, beside another complaint
    [
      'the name',
      { FunctionName: undefined },
      validation(
        "Value null at 'functionName' failed to satisfy constraint: Member must not be null",
      ),
    ],
    // service model; the values are not repeated, as they may be secret
    [
      'names of variables',
      { Environment: { Variables: { '1A': 'secret' } } },
      validation(
        "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
      ),
    ],
  ])('%s', (_, more, refusal) => {
    expect(refusalOf(more)).toEqual(refusal)
  })

  // the texts of AWS's JSON services
  test.each<[object, string]>([
    [{ Timeout: 'three' }, 'STRING_VALUE can not be converted to an Integer'],
    [{ Timeout: 1.5 }, 'NUMBER_VALUE can not be converted to an Integer'],
    [{ Handler: 1 }, 'NUMBER_VALUE can not be converted to a String'],
    [{ Publish: 'yes' }, 'STRING_VALUE can not be converted to a Boolean'],
    [{ Handler: {} }, 'Start of structure or map found where not expected.'],
    [{ Handler: [] }, 'Start of list found where not expected'],
    [{ Layers: 'a' }, 'Expected list or null'],
    [{ Environment: 'a' }, 'Unexpected field type'],
  ])('and JSON types: %j', (more, message) => {
    expect(refusalOf(more)).toEqual({ code: 'SerializationException', message })
  })
})

describe('the runtime', () => {
  // test_create_lambda_exceptions, invalid_runtime_exc, uppercase_runtime_exc
  test.each(['non-existent-runtime', 'PYTHON3.9'])('%s is not in AWS’s list', (Runtime) => {
    expect(refusalOf({ Runtime })).toEqual(
      invalid(
        `Value ${Runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2] or be a valid ARN`,
      ),
    )
  })

  // test_create_deprecated_function_runtime_with_validation_enabled
  test.each([
    'dotnetcore3.1',
    'go1.x',
    'java8',
    'nodejs12.x',
    'nodejs14.x',
    'provided',
    'python3.7',
    'ruby2.7',
  ])('%s is retired', (Runtime) => {
    expect(refusalOf({ Runtime })).toEqual(
      invalid(
        `The runtime parameter of ${Runtime} is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.`,
      ),
    )
  })

  test('python3.12 does not run here yet, and that is said', () => {
    expect(refusalOf({ Runtime: 'python3.12' })).toEqual(
      invalid('lambus does not run python3.12 functions yet. Supported runtimes: nodejs24.x.'),
    )
  })

  // public reports
  test('has to be given, and the handler too', () => {
    const mandatory = invalid(
      'Runtime and Handler are mandatory parameters for functions created with deployment packages.',
    )
    expect(refusalOf({ Runtime: undefined })).toEqual(mandatory)
    expect(refusalOf({ Handler: undefined })).toEqual(mandatory)
  })
})

describe('the environment', () => {
  const tooLarge = (variables: object) =>
    invalid(
      `Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: ${JSON.stringify(variables)}`,
    )

  // test_large_environment_variables_fails, test_lambda_envvars_near_limit_succeeds, test_large_environment_fails_multiple_keys
  test('may have 4096 bytes as JSON and not one more', () => {
    const fits = { LARGE_VAR: 'x'.repeat(4096 - '{"LARGE_VAR":""}'.length + 1 - 1) }
    expect(JSON.stringify(fits)).toHaveLength(4096)
    expect(refusalOf({ Environment: { Variables: fits } })).toBeUndefined()
    const large = { LARGE_VAR: `${fits.LARGE_VAR}x` }
    expect(refusalOf({ Environment: { Variables: large } })).toEqual(tooLarge(large))
    const two = { SMALL_VAR: 'ok', LARGE_VAR: 'x'.repeat(4064) }
    expect(refusalOf({ Environment: { Variables: two } })).toEqual(tooLarge(two))
  })

  // Developer Guide, "Reserved environment variables"; public reports for the sentence
  test('cannot set what is reserved', () => {
    const Variables = { AWS_REGION: 'x', FINE: 'y', AWS_ACCESS_KEY_ID: 'z' }
    expect(refusalOf({ Environment: { Variables } })).toEqual(
      invalid(
        'Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION, AWS_ACCESS_KEY_ID',
      ),
    )
  })
})

describe('no setting is accepted that is not honoured', () => {
  const notHonoured: Record<string, unknown> = {
    Publish: true,
    PublishTo: 'LATEST_PUBLISHED',
    PackageType: 'Image',
    VpcConfig: { SubnetIds: ['subnet-1'] },
    KMSKeyArn: 'arn:aws:kms:us-east-1:000000000000:key/k',
    TracingConfig: { Mode: 'Active' },
    Layers: ['arn:aws:lambda:us-east-1:000000000000:layer:l:1'],
    FileSystemConfigs: [{}],
    ImageConfig: { Command: ['a'] },
    CodeSigningConfigArn: 'arn',
    Architectures: [architectureHere === 'arm64' ? 'x86_64' : 'arm64'],
    EphemeralStorage: { Size: 1024 },
    SnapStart: { ApplyOn: 'PublishedVersions' },
    LoggingConfig: { LogFormat: 'JSON' },
    TenancyConfig: { TenantIsolationMode: 'PER_TENANT' },
    CapacityProviderConfig: {},
    DurableConfig: { ExecutionTimeout: 1 },
  }
  const honoured = [
    'FunctionName',
    'Role',
    'Code',
    'Runtime',
    'Handler',
    'Description',
    'Timeout',
    'MemorySize',
    'Environment',
    'DeadLetterConfig',
    'Tags',
  ]

  test('every member of CreateFunction is honoured or refused', () => {
    const [, , , , members] = sdk.CreateFunctionRequest$ as unknown as [0, 0, 0, 0, string[]]
    expect([...honoured, ...Object.keys(notHonoured)].sort()).toEqual(
      expect.arrayContaining([...members].sort()),
    )
    expect(Object.keys(shapes.CreateFunction.members).sort()).toEqual(
      expect.arrayContaining([...members].sort()),
    )
  })

  test.each(Object.entries(notHonoured))('%s: %j', (member, value) => {
    const refusal = refusalOf({ [member]: value })
    expect(refusal?.code).toBe('InvalidParameterValueException')
    expect(refusal?.message).toMatch(/^lambus does not .*\.$/)
    expect(refusal?.message).toContain(member)
  })

  test.each<[string, unknown]>([
    ['Publish', false],
    ['PackageType', 'Zip'],
    ['VpcConfig', {}],
    ['VpcConfig', { SubnetIds: [], SecurityGroupIds: [], Ipv6AllowedForDualStack: false }],
    ['DeadLetterConfig', {}],
    ['DeadLetterConfig', { TargetArn: '' }],
    ['KMSKeyArn', ''],
    ['TracingConfig', { Mode: 'PassThrough' }],
    ['Layers', []],
    ['FileSystemConfigs', []],
    ['EphemeralStorage', { Size: 512 }],
    ['SnapStart', { ApplyOn: 'None' }],
    ['LoggingConfig', { LogFormat: 'Text', LogGroup: '/aws/lambda/f' }],
    ['Architectures', [architectureHere]],
    ['Layers', null],
  ])('what a function has anyway may be said: %s: %j', (member, value) => {
    expect(refusalOf({ [member]: value })).toBeUndefined()
  })

  test('what nobody knows is not passed over', () => {
    expect(refusalOf({ Colour: 'red' })).toEqual(
      invalid('lambus does not know the setting Colour.'),
    )
    expect(refusalOf({ Environment: { Vars: {} } })).toEqual(
      invalid('lambus does not know the setting Environment.Vars.'),
    )
    expect(refusalOf({ Code: { ZipFile: 'UEs=', Url: 'x' } })).toEqual(
      invalid('lambus does not know the setting Code.Url.'),
    )
  })

  test('updates are held to the same', () => {
    for (const [member, value] of Object.entries(notHonoured)) {
      const configuration = readUpdateConfiguration({ FunctionName: 'f', [member]: value }, here)
      const code = readUpdateCode({ FunctionName: 'f', ZipFile: 'UEs=', [member]: value }, here)
      expect([member, isRefusal(configuration), isRefusal(code)]).toEqual([member, true, true])
    }
  })

  test('code comes as a zip', () => {
    expect(refusalOf({ Code: { S3Bucket: 'b', S3Key: 'k' } })).toEqual(
      invalid('lambus does not read code from S3 (S3Bucket).'),
    )
    expect(refusalOf({ Code: { ImageUri: 'i' } })?.message).toMatch(/container images/)
    expect(refusalOf({ Code: {} })).toEqual(invalid('Please provide a source for function code.'))
  })
})

// test_function_concurrency_exceptions has the sentence
test('a version cannot be created or updated', () => {
  for (const FunctionName of ['f:1', 'arn:aws:lambda:us-east-1:000000000000:function:f:live']) {
    expect(refusalOf({ FunctionName })?.message).toMatch(
      /^This operation is permitted on Lambda functions only\./,
    )
  }
})
