/**
 * The control operations over HTTP: path, query and body to the one JSON input that the operation has on the bus too, and a
 * zip out of it into the code store, because a message of the bus cannot hold 50 MB.
 */

import type { FunctionCode } from '../machines/function.ts'
import type { Input } from './aws/constraints.ts'
import { isRefusal, type Refusal, refuse } from './aws/errors.ts'
import { type GivenCode, readCreate, readUpdateCode } from './aws/function-requests.ts'
import { readJsonInput } from './aws/json-input.ts'
import type { Place } from './aws/names.ts'
import type { ApiOperation, Route } from './aws/operations.ts'
import { checkPackage, decodeZipFile, describePackage } from './aws/package.ts'
import { readQuery } from './aws/query.ts'

const qualifier = { Qualifier: { member: 'Qualifier', kind: 'text' } } as const

/** Members that come in the query, by their names there. */
const inQuery: Partial<
  Record<ApiOperation, Record<string, { member: string; kind: 'text' | 'integer' | 'list' }>>
> = {
  GetFunction: qualifier,
  GetFunctionConfiguration: qualifier,
  DeleteFunction: qualifier,
  ListFunctions: {
    MasterRegion: { member: 'MasterRegion', kind: 'text' },
    FunctionVersion: { member: 'FunctionVersion', kind: 'text' },
    Marker: { member: 'Marker', kind: 'text' },
    MaxItems: { member: 'MaxItems', kind: 'integer' },
  },
  PutFunctionEventInvokeConfig: qualifier,
  UpdateFunctionEventInvokeConfig: qualifier,
  GetFunctionEventInvokeConfig: qualifier,
  DeleteFunctionEventInvokeConfig: qualifier,
  ListFunctionEventInvokeConfigs: {
    Marker: { member: 'Marker', kind: 'text' },
    MaxItems: { member: 'MaxItems', kind: 'integer' },
  },
  ListEventSourceMappings: {
    EventSourceArn: { member: 'EventSourceArn', kind: 'text' },
    FunctionName: { member: 'FunctionName', kind: 'text' },
    Marker: { member: 'Marker', kind: 'text' },
    MaxItems: { member: 'MaxItems', kind: 'integer' },
  },
  UntagResource: { tagKeys: { member: 'TagKeys', kind: 'list' } },
}

const withBody = new Set<ApiOperation>([
  'CreateFunction',
  'UpdateFunctionCode',
  'UpdateFunctionConfiguration',
  'TagResource',
  'PutFunctionEventInvokeConfig',
  'UpdateFunctionEventInvokeConfig',
  'PutFunctionRecursionConfig',
  'PutFunctionConcurrency',
  'CreateEventSourceMapping',
  'UpdateEventSourceMapping',
])

/** The input as JSON; what the path says wins over the body. */
export function readOperationInput(
  operation: ApiOperation,
  route: Route,
  query: string,
  body: Uint8Array,
): Input | Refusal {
  const fromBody = withBody.has(operation) ? readJsonInput(body) : {}
  return isRefusal(fromBody)
    ? fromBody
    : { ...fromBody, ...readMembers(operation, query), ...route.parameters }
}

function readMembers(operation: ApiOperation, query: string): Input {
  const input: Input = {}
  const given = readQuery(query)
  for (const [name, { member, kind }] of Object.entries(inQuery[operation] ?? {})) {
    const value = given[name]
    if (value === undefined) continue
    const all = [value].flat()
    const last = all.at(-1) as string
    if (kind === 'list') input[member] = all
    else input[member] = kind === 'integer' && /^-?\d{1,15}$/.test(last) ? Number(last) : last
  }
  return input
}

/**
 * The input with its zip checked, stored and named, instead of held; any other input as it is. Nothing is stored of a
 * request that will be refused for what it says.
 */
export async function storeCodeOf(
  operation: string,
  input: Input,
  where: Place,
  storeCode: (zip: Uint8Array) => Promise<FunctionCode>,
): Promise<Input | Refusal> {
  if (operation !== 'CreateFunction' && operation !== 'UpdateFunctionCode') return input
  const read =
    operation === 'CreateFunction' ? readCreate(input, where) : readUpdateCode(input, where)
  if (isRefusal(read)) return read
  const code: GivenCode = read.code
  if ('stored' in code) return input
  const zip = decodeZipFile(code.zipFile)
  if (isRefusal(zip)) return zip
  const bad = await checkPackage(zip)
  if (bad !== undefined) return bad
  const isDryRun = 'dryRun' in read && read.dryRun
  const Stored = isDryRun ? describePackage(zip) : await storeCode(zip)
  if (operation === 'CreateFunction') return { ...input, Code: { Stored } }
  const { ZipFile: _, ...others } = input
  return { ...others, Stored }
}

/** Whether an input from outside uses the member that is ours alone. */
export function refuseStored(input: Input): Refusal | undefined {
  const code = input['Code']
  const within = typeof code === 'object' && code !== null && 'Stored' in code
  return within || 'Stored' in input
    ? refuse(
        'InvalidParameterValueException',
        `lambus does not know the setting ${within ? 'Code.Stored' : 'Stored'}.`,
      )
    : undefined
}

/** What stands in `Code.Location` on the bus, where nobody knows the door's URL. */
export const codeLocation = (sha256Hex: string): string => `lambus:code:${sha256Hex}`

/** A GetFunction answer with its `Code.Location` made a URL by `presign`. */
export async function fillLocation(
  body: string,
  presign: (sha256Hex: string) => Promise<string>,
): Promise<string> {
  const answer = JSON.parse(body) as { Code?: { Location?: string } }
  const sha256Hex = /^lambus:code:([0-9a-f]{64})$/.exec(answer.Code?.Location ?? '')?.[1]
  if (answer.Code === undefined || sha256Hex === undefined) return body
  answer.Code.Location = await presign(sha256Hex)
  return JSON.stringify(answer)
}
