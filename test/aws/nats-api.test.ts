/** The same operations without HTTP: `lambus.api.<Operation>`, DESIGN §3; refusals are service errors (NATS ADR-32). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Msg } from '../../bus/bus.ts'
import * as subjects from '../../bus/subjects.ts'
import { arnOf, type ControlPlane, createInput, startControlPlane, zip } from './control-plane.ts'

let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane()
})
afterAll(() => plane.stop())

async function ask(operation: string, input: unknown): Promise<Msg> {
  const body = typeof input === 'string' ? input : JSON.stringify(input)
  const outcome = await plane.bus.request(`lambus.api.${operation}`, body, { timeoutMs: 20_000 })
  if (typeof outcome === 'string') throw new Error(outcome)
  return outcome
}
const refusal = ({ headers, string }: Msg, message: Msg) => ({
  code: headers?.get('Nats-Service-Error-Code'),
  error: headers?.get('Nats-Service-Error'),
  body: JSON.parse(string.call(message)),
})
const refused = async (operation: string, input: unknown) => {
  const message = await ask(operation, input)
  return refusal(message, message)
}
const create = (name: string) => ({
  ...createInput(name),
  Code: { ZipFile: Buffer.from(zip).toString('base64') },
})

test('an operation takes and gives the JSON of AWS, and names the revision that shows it', async () => {
  const created = await ask('CreateFunction', create('n1'))
  expect(created.json()).toMatchObject({ FunctionName: 'n1', FunctionArn: arnOf('n1') })
  expect(Number(created.headers?.get('Lambus-Revision'))).toBeGreaterThan(0)
  expect(created.headers?.get('Lambus-Status')).toBe('201')
  const got = await ask('GetFunction', { FunctionName: 'n1' })
  expect(got.json()).toMatchObject({ Code: { RepositoryType: 'S3' } })
  const deleted = await ask('DeleteFunction', { FunctionName: 'n1' })
  expect([deleted.string(), deleted.headers?.get('Lambus-Status')]).toEqual(['', '204'])
})

test('a refusal is a service error with the AWS body', async () => {
  expect(await refused('GetFunction', { FunctionName: 'nope' })).toEqual({
    code: '404',
    error: `ResourceNotFoundException: Function not found: ${arnOf('nope')}`,
    body: { Type: 'User', Message: `Function not found: ${arnOf('nope')}` },
  })
})

describe('what is refused, and harms nobody', () => {
  test.each<[string, string, unknown, string]>([
    [
      'an operation that is not built',
      'PublishVersion',
      { FunctionName: 'f' },
      'UnknownOperationException: lambus does not implement the operation PublishVersion yet.',
    ],
    [
      'Invoke, which has a subject of its own',
      'Invoke',
      {},
      'UnknownOperationException: lambus does not implement the operation Invoke yet.',
    ],
    [
      'an operation that AWS does not have',
      'Frobnicate',
      {},
      'UnknownOperationException: Unknown operation: NATS lambus.api.Frobnicate',
    ],
    [
      'a subject with too many tokens',
      'GetFunction.f',
      {},
      'UnknownOperationException: Unknown operation: NATS lambus.api.GetFunction.f',
    ],
    [
      'a name from JavaScript itself',
      'constructor',
      {},
      'UnknownOperationException: Unknown operation: NATS lambus.api.constructor',
    ],
    [
      'an event of XState',
      'xstate.stop',
      {},
      'UnknownOperationException: Unknown operation: NATS lambus.api.xstate.stop',
    ],
    ['no JSON', 'GetFunction', '{"FunctionName"', 'SerializationException: '],
    ['no object', 'GetFunction', '[1]', 'SerializationException: Unexpected field type'],
    [
      'nothing at all',
      'GetFunction',
      '',
      "ValidationException: 1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null",
    ],
    [
      'a package that nobody stored',
      'CreateFunction',
      { ...create('n2'), Code: { Stored: { sha256: `${'A'.repeat(43)}=`, sizeBytes: 1 } } },
      'InvalidParameterValueException: The package that Stored names is not in the store.',
    ],
    [
      'a package by a wrong name',
      'CreateFunction',
      { ...create('n2'), Code: { Stored: { sha256: '../../x', sizeBytes: 1 } } },
      'InvalidParameterValueException: The package that Stored names is not in the store.',
    ],
    [
      'a name with a dot, which no function has',
      'UpdateFunctionCode',
      { FunctionName: 'a.b', ZipFile: '' },
      'ValidationException: ',
    ],
    ['__proto__', 'GetFunction', '{"__proto__":{"FunctionName":"x"}}', 'ValidationException: '],
  ])('%s', async (_, operation, input, error) => {
    expect((await refused(operation, input)).error).toContain(error)
    expect((await ask('ListFunctions', {})).json()).toHaveProperty('Functions')
  })

  test('a call without a reply subject is carried out all the same', async () => {
    await ask('CreateFunction', create('n3'))
    plane.bus.publish(subjects.api('DeleteFunction'), JSON.stringify({ FunctionName: 'n3' }))
    await expect
      .poll(async () => (await refused('GetFunction', { FunctionName: 'n3' })).code)
      .toBe('404')
  })

  test('a value of megabytes is not said back in full', async () => {
    const Description = 'd'.repeat(4_000_000)
    const { code, error } = await refused('CreateFunction', { ...create('n4'), Description })
    expect(code).toBe('400')
    expect(error?.length).toBeLessThan(20_000)
  })

  test('is counted', () => {
    expect(plane.api.counts.malformed).toBeGreaterThan(0)
    expect(plane.api.counts.refused).toBeGreaterThan(0)
    expect(plane.api.counts.failed).toBe(0)
  })
})
