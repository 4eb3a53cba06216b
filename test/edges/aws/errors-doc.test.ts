/** docs/errors.md says of every error what the sources say. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { awsErrors } from '../../../edges/aws/errors.ts'
import { kinesisErrors } from '../../../edges/aws/kinesis-errors.ts'
import { sqsErrors } from '../../../edges/aws/sqs-errors.ts'

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const doc = read('docs/errors.md')

/** The cells of a table's rows, by its heading. */
function rowsUnder(heading: string): string[][] {
  const section = doc.split(/^## /m).find((text) => text.startsWith(heading)) ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('| '))
  return lines.slice(1).map((line) => line.slice(2, -2).split(' | '))
}
const codesUnder = (heading: string) => rowsUnder(heading).map(([code = '']) => code)
const unionIn = (path: string, name: string) =>
  [
    ...(new RegExp(`type ${name} =([^;]*?)\n\n`, 's').exec(read(path))?.[1] ?? '').matchAll(
      /\| '(\w+)'/g,
    ),
  ].map(([, code]) => code)

test('every AWS error, with its status, its body and when it comes', () => {
  const rows = Object.entries(awsErrors).map(([code, { status, key, type, when }]) => {
    const members = [
      ...(code === 'TooManyRequestsException' ? ['"Reason":"…"'] : []),
      ...(type === undefined ? [] : [`"Type":"${type}"`]),
      `"${key}":"…"`,
    ]
    return [code, String(status), `\`{${members.join(',')}}\``, when]
  })
  expect(rowsUnder('To callers')).toEqual(rows)
})

test("every error of SQS's, with its codes, its status and when it comes", () => {
  const rows = Object.entries(sqsErrors).map(([shape, { queryCode, status, when }]) => [
    shape,
    queryCode,
    String(status),
    when,
  ])
  expect(rowsUnder("SQS's own errors")).toEqual(rows)
})

test("every error of Kinesis's, with its status and when it comes", () => {
  const rows = Object.entries(kinesisErrors).map(([shape, { status, when }]) => [
    shape,
    String(status),
    when,
  ])
  expect(rowsUnder("Kinesis's own errors")).toEqual(rows)
})

test.each([
  ['Between us and NATS', 'bus/bus-error.ts', 'BusErrorCode'],
  ['Packages', 'edges/unzip.ts', 'PackageErrorCode'],
])('every code under "%s"', (heading, path, name) => {
  const codes = unionIn(path, name)
  expect(codes.length).toBeGreaterThan(2)
  expect(codesUnder(heading).sort()).toEqual(codes.sort())
})

test('every code in the log of the doors and the control plane', () => {
  const files = [
    'edges/http-exchange.ts',
    'actors/api.ts',
    'actors/api-functions.ts',
    'actors/api-tags.ts',
    'actors/api-event-invoke.ts',
    'actors/api-concurrency.ts',
    'actors/api-recursion.ts',
    'actors/api-mappings.ts',
    'actors/api-mapping-changes.ts',
    'actors/mapping-call.ts',
    'actors/kinesis.ts',
    'actors/kinesis-door.ts',
    'actors/kinesis-put.ts',
    'actors/subscription.ts',
    'actors/sqs.ts',
    'actors/sqs-messages.ts',
    'actors/sqs-moves.ts',
  ]
  const logged = files.flatMap((path) =>
    [...read(path).matchAll(/code: '([A-Z_]+)'/g)].map(([, code]) => code),
  )
  expect(codesUnder('In the log').sort()).toEqual([...new Set(logged)].sort())
})

test('every code that is logged about events', () => {
  const files = [
    ...[
      'acceptance',
      'attempt',
      'attempt-door',
      'event',
      'flow',
      'holding',
      'lane',
      'lease',
      'queue',
      'event-desk',
    ].map((noun) => `actors/${noun}.ts`),
    ...['event-packet', 'event-stream', 'event-writer', 'lane', 'lane-ledger'].map(
      (noun) => `bus/${noun}.ts`,
    ),
  ]
  const logged = files.flatMap((path) =>
    [...read(path).matchAll(/code: '([A-Z_]+)'/g)].map(([, code]) => code),
  )
  expect(codesUnder('About events').sort()).toEqual([...new Set(logged)].sort())
})

test('every code that is logged about records that are read', () => {
  const files = [
    'actors/shard-reader.ts',
    'actors/shard-source.ts',
    'actors/kinesis.ts',
    'actors/kinesis-put.ts',
    'actors/kinesis-door.ts',
  ]
  const logged = files.flatMap((path) =>
    [...read(path).matchAll(/code: '([A-Z_]+)'/g)].map(([, code]) => code),
  )
  expect(codesUnder('About records').sort()).toEqual([...new Set(logged)].sort())
})
