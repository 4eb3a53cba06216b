/** What AWS has against a deployment package, and that nothing of it stays. lambda-semantics.md §1.4, §2.3. */
import { randomBytes } from 'node:crypto'
import { CreateFunctionCommand, GetFunctionCommand } from '@aws-sdk/client-lambda'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkPackage, decodeZipFile, zippedLimitBytes } from '../../edges/aws/package.ts'
import { type ControlPlane, createInput, startControlPlane, zip } from './control-plane.ts'

let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane()
})
afterAll(() => plane.stop())

const notAZip = 'Could not unzip uploaded file. Please check your file, then try to upload again.'
const create = (ZipFile: Uint8Array) =>
  plane.client.send(new CreateFunctionCommand({ ...createInput('f'), Code: { ZipFile } }))

/** Where the central directory stands, whose entries a test may falsify. */
const directoryOf = (bytes: Buffer) => bytes.indexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]))
const falsified = (change: (copy: Buffer, directory: number) => void) => {
  const copy = Buffer.from(zip)
  change(copy, directoryOf(copy))
  return copy
}

describe('a package is refused', () => {
  test.each<[string, Uint8Array, string]>([
    // test_create_lambda_exceptions, invalid_zip_exc
    ['that is no zip', Buffer.from('not a zip'), notAZip],
    ['that is cut off', zip.subarray(0, zip.length - 10), notAZip],
    ['whose content is damaged', falsified((copy, at) => copy.writeUInt32LE(1, at + 16)), notAZip],
    ['whose entry leaves it', zipSync({ '../x': Buffer.from('x') }), notAZip],
    ['whose entry is absolute', zipSync({ '/etc/x': Buffer.from('x') }), notAZip],
    ['that is encrypted', falsified((copy, at) => copy.writeUInt16LE(1, at + 8)), notAZip],
    // public reports
    ['without files', zipSync({}), 'Uploaded file must be a non-empty zip'],
    // test_oversized_lambda
    [
      'that unzips to more than 262144000 bytes',
      falsified((copy, at) => copy.writeUInt32LE(262_144_001, at + 24)),
      'Unzipped size must be smaller than 262144000 bytes',
    ],
  ])('%s', async (_, bytes, message) => {
    const before = plane.stored()
    await expect(create(bytes)).rejects.toMatchObject({
      name: 'InvalidParameterValueException',
      message,
      $metadata: { httpStatusCode: 400 },
    })
    expect(plane.stored()).toBe(before)
    await expect(
      plane.client.send(new GetFunctionCommand({ FunctionName: 'f' })),
    ).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
  })

  // test_oversized_zipped_create_lambda
  test('of more than 50 MB', () => {
    expect(decodeZipFile(Buffer.alloc(zippedLimitBytes + 1).toString('base64'))).toMatchObject({
      status: 413,
      code: 'RequestEntityTooLargeException',
      message: 'Zipped size must be smaller than 52428800 bytes',
    })
  })

  // test_oversized_request_create_lambda
  test('whose request has more than 70167211 bytes, and the client gets to read it', async () => {
    await expect(create(Buffer.alloc(53_000_000))).rejects.toMatchObject({
      name: 'RequestEntityTooLargeException',
      message: 'Request must be smaller than 70167211 bytes for the CreateFunction operation',
      $metadata: { httpStatusCode: 413 },
    })
  })

  test('that is no base64', () => {
    expect(decodeZipFile('%%')).toMatchObject({ code: 'SerializationException', status: 400 })
  })
})

test('a package of several megabytes, more than a message of NATS holds, is taken and given back', async () => {
  const large = zipSync({ 'index.mjs': randomBytes(12_000_000) }, { level: 0 })
  await create(large)
  const { Code } = await plane.client.send(new GetFunctionCommand({ FunctionName: 'f' }))
  const fetched = await fetch(String(Code?.Location))
  expect(Buffer.from(await fetched.arrayBuffer()).equals(Buffer.from(large))).toBe(true)
})

test('a package with stored, deflated and empty entries and directories is taken', async () => {
  const mixed = zipSync({
    'a.txt': [Buffer.from('a'), { level: 0 }],
    'b/': new Uint8Array(),
    'b/c.txt': Buffer.from('c'.repeat(1000)),
    'empty.txt': new Uint8Array(),
  })
  expect(await checkPackage(mixed)).toBeUndefined()
})
