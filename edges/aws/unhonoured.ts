/**
 * Settings of AWS that lambus does not honour yet. None is accepted and ignored: each is refused with a sentence that says
 * so, unless what is given is what a function has anyway.
 */
import type { Input } from './constraints.ts'
import { type Refusal, refuse } from './errors.ts'

/** What runs here: Lambda's name for the processor. */
export const architectureHere = process.arch === 'arm64' ? 'arm64' : 'x86_64'

type Setting = {
  /** Whether what is given is what a function has anyway. */
  isDefault: (value: never, functionName: string) => boolean
  /** What lambus does not do, as it ends "lambus does not …". */
  not: string
}

const isEmpty = (value: object): boolean => Object.keys(value).length === 0
const never = () => false

const refused: Record<string, Setting> = {
  Publish: { isDefault: (value: boolean) => !value, not: 'publish versions yet (Publish)' },
  PublishTo: { isDefault: never, not: 'publish versions yet (PublishTo)' },
  PackageType: {
    isDefault: (value: string) => value === 'Zip',
    not: 'run container images yet (PackageType Image)',
  },
  VpcConfig: {
    isDefault: (vpc: {
      SubnetIds?: []
      SecurityGroupIds?: []
      Ipv6AllowedForDualStack?: boolean
    }) => !vpc.SubnetIds?.length && !vpc.SecurityGroupIds?.length && !vpc.Ipv6AllowedForDualStack,
    not: 'connect functions to a VPC (VpcConfig)',
  },
  KMSKeyArn: {
    isDefault: (arn: string) => arn === '',
    not: 'encrypt with customer managed keys (KMSKeyArn)',
  },
  TracingConfig: {
    isDefault: (config: { Mode?: string }) => config.Mode !== 'Active',
    not: 'trace with X-Ray yet (TracingConfig Active)',
  },
  Layers: { isDefault: (layers: []) => layers.length === 0, not: 'attach layers yet (Layers)' },
  FileSystemConfigs: {
    isDefault: (configs: []) => configs.length === 0,
    not: 'mount file systems (FileSystemConfigs)',
  },
  ImageConfig: { isDefault: isEmpty, not: 'run container images yet (ImageConfig)' },
  CodeSigningConfigArn: {
    isDefault: (arn: string) => arn === '',
    not: 'check code signatures (CodeSigningConfigArn)',
  },
  EphemeralStorage: {
    isDefault: ({ Size }: { Size?: number }) => Size === 512,
    not: 'size /tmp other than 512 MB yet (EphemeralStorage)',
  },
  SnapStart: {
    isDefault: ({ ApplyOn }: { ApplyOn?: string }) => (ApplyOn ?? 'None') === 'None',
    not: 'take snapshots of published versions (SnapStart)',
  },
  LoggingConfig: {
    isDefault: (
      config: { LogFormat?: string; LogGroup?: string } & Record<string, unknown>,
      functionName,
    ) =>
      (config.LogFormat ?? 'Text') === 'Text' &&
      [undefined, `/aws/lambda/${functionName}`].includes(config.LogGroup) &&
      config['ApplicationLogLevel'] === undefined &&
      config['SystemLogLevel'] === undefined,
    not: 'log in another format, level or group than the default yet (LoggingConfig)',
  },
  Architectures: {
    isDefault: ([architecture]: string[]) => architecture === architectureHere,
    not: `run another architecture than that of this machine, ${architectureHere} (Architectures)`,
  },
  DurableConfig: { isDefault: never, not: 'run durable functions (DurableConfig)' },
  CapacityProviderConfig: {
    isDefault: never,
    not: 'run on capacity providers (CapacityProviderConfig)',
  },
  TenancyConfig: { isDefault: never, not: 'isolate tenants (TenancyConfig)' },
  MasterRegion: { isDefault: never, not: 'replicate functions to edge locations (MasterRegion)' },
  S3Bucket: { isDefault: never, not: 'read code from S3 (S3Bucket)' },
  S3Key: { isDefault: never, not: 'read code from S3 (S3Key)' },
  S3ObjectVersion: { isDefault: never, not: 'read code from S3 (S3ObjectVersion)' },
  S3ObjectStorageMode: { isDefault: never, not: 'read code from S3 (S3ObjectStorageMode)' },
  ImageUri: { isDefault: never, not: 'run container images yet (ImageUri)' },
  SourceKMSKeyArn: {
    isDefault: (arn: string) => arn === '',
    not: 'encrypt with customer managed keys (SourceKMSKeyArn)',
  },
  MetricsConfig: {
    isDefault: ({ Metrics }: { Metrics?: [] | null }) => !Metrics?.length,
    not: 'count the events of single mappings (MetricsConfig)',
  },
}

/**
 * The first member of `input` that lambus would have to ignore, refused: one that it does not honour, or one that it does
 * not know. `known` are the members of the operation's shape; the input has passed its shape.
 */
export function refuseUnhonoured(
  input: Input,
  known: Record<string, unknown>,
  functionName: string,
): Refusal | undefined {
  for (const [member, value] of Object.entries(input)) {
    if (value === null || value === undefined) continue
    if (!Object.hasOwn(known, member)) {
      return refuse('InvalidParameterValueException', `lambus does not know the setting ${member}.`)
    }
    const setting = Object.hasOwn(refused, member) ? refused[member] : undefined
    if (setting !== undefined && !setting.isDefault(value as never, functionName)) {
      return refuse('InvalidParameterValueException', `lambus does not ${setting.not}.`)
    }
  }
  return undefined
}

type Members = Record<string, { kind: string; members?: Members }>

/** Members below the first level that the model does not know: `Environment.Vars`. */
export function refuseUnknownWithin(input: Input, members: Members, at = ''): Refusal | undefined {
  for (const [member, { kind, members: known = {} }] of Object.entries(members)) {
    const value = input[member]
    // A structure without members of its own in the table is refused as a whole, whatever is in it.
    if (kind !== 'structure' || isEmpty(known) || typeof value !== 'object' || !value) continue
    const stranger = Object.keys(value).find((name) => !Object.hasOwn(known, name))
    if (stranger !== undefined) {
      return refuse(
        'InvalidParameterValueException',
        `lambus does not know the setting ${at}${member}.${stranger}.`,
      )
    }
    const deeper = refuseUnknownWithin(value as Input, known, `${at}${member}.`)
    if (deeper !== undefined) return deeper
  }
  return undefined
}
