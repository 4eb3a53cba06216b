/**
 * `lambus deploy <dir|file>`: code on this disk becomes a function, or the next code of one. What has not changed is not
 * sent, and it is not done before the system says that the function can be invoked.
 */
import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import type { Command } from 'commander'
import type { Api, FunctionConfiguration, Input } from './api.ts'
import { withApi } from './api.ts'
import { AwsFailure } from './aws-failure.ts'
import { bundle } from './bundle.ts'
import { findSource, functionNameOf, moduleOfHandler, type Source } from './entry.ts'
import { Failure } from './failure.ts'
import { type CommonOptions, credentials, keyValue, settings, wholeNumber } from './options.ts'
import { byteSize, print, printJson } from './output.ts'
import { openProgress, type Progress } from './progress.ts'
import { codeSha256, readTree, type ZipEntry, zip } from './zip.ts'

type Options = CommonOptions & {
  name?: string
  handler?: string
  runtime?: string
  memory?: number
  timeout?: number
  env?: Record<string, string>
  role?: string
  description?: string
  bundle: boolean
  sourcemap?: boolean
}

/** What AWS's tools can do on the way and this one cannot yet: refused, never taken and forgotten. */
const notYet = ['alias', 'publish', 'layer', 'concurrency', 'provisioned-concurrency'] as const

export function register(program: Command): void {
  const command = program
    .command('deploy')
    .summary('make a function of a folder or file, or update it')
    .description(
      'Bundles TypeScript and dependencies, zips, creates or updates the function, and waits until it can be invoked.',
    )
    .argument(
      '<dir|file>',
      'a folder with an index file or a package.json that names its main, or the file',
    )
    .option('--name <name>', 'default: the name of the folder or file')
    .option('--handler <file.export>', 'default: index.handler')
    .option('--runtime <runtime>', 'default: nodejs24.x')
    .option('--memory <MB>', 'MemorySize', wholeNumber(128, 10_240))
    .option('--timeout <seconds>', 'Timeout', wholeNumber(1, 900))
    .option(
      '--env <KEY=VALUE>',
      'environment variable; repeat for more. They replace all there were',
      keyValue,
    )
    .option('--role <arn>', "the function's role")
    .option('--description <text>', 'Description')
    .option('--no-bundle', 'zip the folder or file as it is')
    .option('--sourcemap', 'put a source map into the bundle')
  for (const name of notYet) {
    command.addOption(command.createOption(`--${name} [value]`).hideHelp())
  }
  command.action(async (path: string) => {
    await deploy(path, command.optsWithGlobals<Options>())
  })
}

async function deploy(path: string, options: Options): Promise<void> {
  refuseNotYet(options)
  const json = options.json === true
  const progress = openProgress({ json })
  try {
    progress.show('reading')
    const source = findSource(path, options.handler)
    const name = options.name ?? functionNameOf(source, path)
    const code = await pack(path, source, options, progress)
    const result = await withApi(options, credentials(), (api) =>
      apply(api, name, code, options, progress),
    )
    progress.clear()
    if (json) return printJson(result)
    const { Runtime, Handler, CodeSize } = result.configuration
    print(`${result.action} ${name} (${Runtime}, ${Handler}, ${byteSize(CodeSize)})`)
  } finally {
    progress.clear()
  }
}

function refuseNotYet(options: Options): void {
  const given: Record<string, unknown> = { ...options }
  for (const name of notYet) {
    if (given[name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())] === undefined) continue
    throw new Failure('NOT_BUILT_YET', `--${name} is not built yet: deploy without it`)
  }
}

// ── The package ────────────────────────────────────────────────────────────────────────────────────────────────────

type Code = { zip: Uint8Array; handler: string; runtime: string }

const defaultRuntime = 'nodejs24.x'

async function pack(
  path: string,
  source: Source,
  options: Options,
  progress: Progress,
): Promise<Code> {
  const runtime = options.runtime ?? defaultRuntime
  const isForNode = runtime.startsWith('nodejs')
  if (options.bundle && isForNode) {
    if (source.entry === undefined) throw noEntry(path, source)
    progress.show('bundling')
    const handler = options.handler ?? 'index.handler'
    const { bytes, extension } = await bundle(source.entry, {
      sourcemap: options.sourcemap === true,
    })
    return {
      zip: zip({ [`${moduleOfHandler(handler)}${extension}`]: { bytes } }),
      handler,
      runtime,
    }
  }
  progress.show('zipping')
  const entries = source.isDirectory ? readTree(source.dir) : onlyFile(path)
  const handler = options.handler ?? handlerOfEntry(source)
  if (handler !== undefined) return { zip: zip(entries), handler, runtime }
  throw new Failure('NO_HANDLER', `give --handler file.export: the files of ${path} do not tell it`)
}

function noEntry(path: string, source: Source): Failure {
  return new Failure(
    'NO_ENTRY',
    source.isDirectory
      ? `nothing in ${path} to start from: it needs an index.ts, .mts, .js, .mjs or .cjs, or a package.json that names its main; for another runtime give --runtime and --handler`
      : `${path} is not JavaScript or TypeScript: for another runtime give --runtime and --handler`,
  )
}

function onlyFile(path: string): Record<string, ZipEntry> {
  return { [basename(path)]: { bytes: readFileSync(path), executable: isExecutable(path) } }
}

const isExecutable = (path: string): boolean => (statSync(path).mode & 0o111) !== 0

function handlerOfEntry({ dir, entry }: Source): string | undefined {
  if (entry === undefined) return undefined
  return `${entry.slice(dir.length + 1).replace(/\.[^.]+$/, '')}.handler`
}

// ── The function ───────────────────────────────────────────────────────────────────────────────────────────────────

type Result = {
  action: 'created' | 'updated' | 'unchanged'
  configuration: FunctionConfiguration
}

async function apply(
  api: Api,
  name: string,
  code: Code,
  options: Options,
  progress: Progress,
): Promise<Result> {
  const zipFile = Buffer.from(code.zip).toString('base64')
  const onUpload = (sentBytes: number, totalBytes: number) =>
    progress.show('uploading', sentBytes, totalBytes)
  const existing = await find(api, name)
  if (existing === undefined) {
    const settingsGiven = { ...given(options), Runtime: code.runtime, Handler: code.handler }
    const input = {
      FunctionName: name,
      Role: `arn:aws:iam::${settings().account}:role/lambus`,
      ...settingsGiven,
      Code: { ZipFile: zipFile },
    }
    await api.call('CreateFunction', input, onUpload)
    return { action: 'created', configuration: await settled(api, name, progress) }
  }

  let configuration = await settled(api, name, progress, { evenFailed: true })
  let isChanged = false
  // Code first: a new configuration may name a handler that only the new code has; AWS checks neither.
  if (configuration.CodeSha256 !== codeSha256(code.zip)) {
    await api.call('UpdateFunctionCode', { FunctionName: name, ZipFile: zipFile }, onUpload)
    configuration = await settled(api, name, progress, { evenFailed: true })
    isChanged = true
  }
  const changes = differences(configuration, {
    ...given(options),
    Handler: code.handler,
    Runtime: options.runtime ?? configuration.Runtime,
  })
  if (Object.keys(changes).length > 0) {
    await api.call('UpdateFunctionConfiguration', { FunctionName: name, ...changes })
    isChanged = true
  }
  configuration = await settled(api, name, progress)
  return { action: isChanged ? 'updated' : 'unchanged', configuration }
}

async function find(api: Api, name: string): Promise<FunctionConfiguration | undefined> {
  try {
    return await api.call('GetFunctionConfiguration', { FunctionName: name })
  } catch (error) {
    if (error instanceof AwsFailure && error.code === 'ResourceNotFoundException') return undefined
    throw error
  }
}

/** The settings that were asked for; those that were not stay as they are. */
function given({ memory, timeout, env, role, description }: Options): Input {
  const wanted = {
    MemorySize: memory,
    Timeout: timeout,
    Environment: env === undefined ? undefined : { Variables: env },
    Role: role,
    Description: description,
  }
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined))
}

function differences(configuration: FunctionConfiguration, wanted: Input): Input {
  const current: Record<string, unknown> = { ...configuration }
  return Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => canonical(value) !== canonical(current[name])),
  )
}

/** Equal for equal values, whatever the order of their members. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined'
  return Object.entries(value)
    .map(([name, member]) => `${name}:${canonical(member)}`)
    .sort()
    .join()
}

// A function is prepared in tens of milliseconds here; later looks are for large packages.
const FIRST_LOOK_MS = 20
const LONGEST_LOOK_MS = 500
// Twice what AWS's own waiters give it: 60 looks, one per second.
const PATIENCE_MS = 120_000

/** Its configuration, once nothing is pending. Throws Failure with AWS's reason when it failed. */
async function settled(
  api: Api,
  name: string,
  progress: Progress,
  { evenFailed = false } = {},
): Promise<FunctionConfiguration> {
  const startMs = performance.now()
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_LOOK_MS)) {
    const configuration = await api.call('GetFunctionConfiguration', { FunctionName: name })
    const { State, LastUpdateStatus } = configuration
    const isPending = State === 'Pending' || LastUpdateStatus === 'InProgress'
    const isFailed = State === 'Failed' || LastUpdateStatus === 'Failed'
    if (!isPending && (!isFailed || evenFailed)) return configuration
    if (isFailed && !isPending) throw failed(name, configuration)
    if (performance.now() - startMs > PATIENCE_MS) {
      throw new Failure(
        'STILL_PENDING',
        `'${name}' is still ${State === 'Pending' ? 'pending' : 'being updated'} after ${PATIENCE_MS / 1000} s: look again with \`lambus get ${name}\``,
      )
    }
    progress.show(State === 'Pending' ? 'waiting until it is active' : 'waiting for the update')
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

const failed = (name: string, configuration: FunctionConfiguration): Failure =>
  new Failure(
    'NOT_ACTIVE',
    `'${name}' cannot be invoked: ${configuration.LastUpdateStatusReason ?? configuration.StateReason ?? 'the server gives no reason'}`,
  )
