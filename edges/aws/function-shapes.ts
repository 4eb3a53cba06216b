/**
 * The inputs of the operations on functions, as the service model constrains them.
 *
 * Source: botocore's lambda/2015-03-31 model, with two ranges as they hold for ordinary functions (the model's own are
 * those of managed instances): lambda-semantics.md §3.1.
 */
import type { Shape, Structure } from './constraints.ts'

const text = (rules: Omit<Extract<Shape, { kind: 'string' }>, 'kind'> = {}): Shape => ({
  kind: 'string',
  ...rules,
})
const texts = (rules: { atMostLong?: number } = {}): Shape => ({
  kind: 'list',
  of: { kind: 'string' },
  ...rules,
})
const flag: Shape = { kind: 'boolean' }
const structure = (
  members: Record<string, Shape>,
  required: readonly string[] = [],
): Structure => ({
  kind: 'structure',
  members,
  required,
})

const tags: Shape = { kind: 'map', key: { kind: 'string' }, value: { kind: 'string' } }
const architectures: Shape = {
  kind: 'list',
  of: { kind: 'string', oneOf: ['x86_64', 'arm64'] },
  atMostLong: 1,
  atLeastLong: 1,
}
const source = {
  ZipFile: text(),
  S3Bucket: text(),
  S3Key: text(),
  S3ObjectVersion: text(),
  S3ObjectStorageMode: text(),
  ImageUri: text(),
  SourceKMSKeyArn: text(),
  // Ours, between the door and the control plane: a package that is in the code store already.
  Stored: structure({ sha256: text(), sizeBytes: { kind: 'integer', atLeast: 0 } }, [
    'sha256',
    'sizeBytes',
  ]),
}

const settings = {
  Role: text({
    pattern: String.raw`arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`,
  }),
  Runtime: text(),
  Handler: text({ atMostLong: 128, pattern: String.raw`[^\s]+` }),
  Description: text({ atMostLong: 256 }),
  Timeout: { kind: 'integer', atLeast: 1, atMost: 900 },
  MemorySize: { kind: 'integer', atLeast: 128, atMost: 10_240 },
  Environment: structure({
    Variables: {
      kind: 'map',
      key: { kind: 'string', pattern: '[a-zA-Z]([a-zA-Z0-9_])+' },
      value: { kind: 'string' },
      isSecret: true,
    },
  }),
  VpcConfig: structure({
    SubnetIds: texts({ atMostLong: 16 }),
    SecurityGroupIds: texts({ atMostLong: 5 }),
    Ipv6AllowedForDualStack: flag,
  }),
  DeadLetterConfig: structure({
    TargetArn: text({ pattern: '(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()' }),
  }),
  KMSKeyArn: text(),
  TracingConfig: structure({ Mode: text({ oneOf: ['Active', 'PassThrough'] }) }),
  Layers: texts(),
  FileSystemConfigs: { kind: 'list', of: structure({}) },
  ImageConfig: structure({}),
  EphemeralStorage: structure({ Size: { kind: 'integer', atLeast: 512, atMost: 10_240 } }, [
    'Size',
  ]),
  SnapStart: structure({ ApplyOn: text({ oneOf: ['PublishedVersions', 'None'] }) }),
  LoggingConfig: structure({
    LogFormat: text({ oneOf: ['JSON', 'Text'] }),
    ApplicationLogLevel: text({ oneOf: ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] }),
    SystemLogLevel: text({ oneOf: ['DEBUG', 'INFO', 'WARN'] }),
    LogGroup: text({ atMostLong: 512, pattern: String.raw`[\.\-_/#A-Za-z0-9]+` }),
  }),
  CapacityProviderConfig: structure({}),
  DurableConfig: structure({}),
} satisfies Record<string, Shape>

// As AWS echoes it: test_lambda_eventinvokeconfig_exceptions, put_destination_invalid_arn_pattern.
export const destinationShape = structure({
  Destination: text({
    atMostLong: 350,
    pattern: String.raw`$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`,
    ours: 'arn:lambus:nats:::.+',
  }),
})
const eventInvoke = structure(
  {
    FunctionName: text(),
    Qualifier: text(),
    MaximumRetryAttempts: { kind: 'integer', atLeast: 0, atMost: 2 },
    MaximumEventAgeInSeconds: { kind: 'integer', atLeast: 60, atMost: 21_600 },
    DestinationConfig: structure({ OnSuccess: destinationShape, OnFailure: destinationShape }),
  },
  ['FunctionName'],
)
const named = structure({ FunctionName: text() }, ['FunctionName'])
const qualified = structure({ FunctionName: text(), Qualifier: text() }, ['FunctionName'])

export const shapes = {
  CreateFunction: structure(
    {
      ...settings,
      FunctionName: text(),
      Code: structure(source),
      Publish: flag,
      PublishTo: text(),
      PackageType: text({ oneOf: ['Image', 'Zip'] }),
      Tags: tags,
      CodeSigningConfigArn: text(),
      Architectures: architectures,
      TenancyConfig: structure({}),
    },
    ['FunctionName', 'Role', 'Code'],
  ),
  UpdateFunctionConfiguration: structure(
    { ...settings, FunctionName: text(), RevisionId: text() },
    ['FunctionName'],
  ),
  UpdateFunctionCode: structure(
    {
      ...source,
      FunctionName: text(),
      Publish: flag,
      PublishTo: text(),
      DryRun: flag,
      RevisionId: text(),
      Architectures: architectures,
    },
    ['FunctionName'],
  ),
  GetFunction: qualified,
  GetFunctionConfiguration: qualified,
  DeleteFunction: qualified,
  ListFunctions: structure({
    MasterRegion: text({ pattern: String.raw`ALL|[a-z]{2}(-gov)?-[a-z]+-\d{1}` }),
    FunctionVersion: text({ oneOf: ['ALL'] }),
    Marker: text(),
    MaxItems: { kind: 'integer', atLeast: 1, atMost: 10_000 },
  }),
  GetAccountSettings: structure({}),
  ListTags: structure({ Resource: text() }, ['Resource']),
  TagResource: structure({ Resource: text(), Tags: tags }, ['Resource', 'Tags']),
  PutFunctionEventInvokeConfig: eventInvoke,
  UpdateFunctionEventInvokeConfig: eventInvoke,
  GetFunctionEventInvokeConfig: qualified,
  DeleteFunctionEventInvokeConfig: qualified,
  ListFunctionEventInvokeConfigs: structure(
    {
      FunctionName: text(),
      Marker: text(),
      MaxItems: { kind: 'integer', atLeast: 1, atMost: 50 },
    },
    ['FunctionName'],
  ),
  // The enum in AWS's own order: test_put_function_recursion_config_invalid_value.
  PutFunctionRecursionConfig: structure(
    { FunctionName: text(), RecursiveLoop: text({ oneOf: ['Terminate', 'Allow'] }) },
    ['FunctionName', 'RecursiveLoop'],
  ),
  GetFunctionRecursionConfig: named,
  PutFunctionConcurrency: structure(
    { FunctionName: text(), ReservedConcurrentExecutions: { kind: 'integer', atLeast: 0 } },
    ['FunctionName', 'ReservedConcurrentExecutions'],
  ),
  GetFunctionConcurrency: named,
  DeleteFunctionConcurrency: named,
  UntagResource: structure({ Resource: text(), TagKeys: texts() }, ['Resource', 'TagKeys']),
} satisfies Record<string, Structure>
