import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { splitFunctionName } from '../../cli/function-name.ts'
import { likeliest } from '../../cli/likeliest.ts'
import { agoMs, keyValue, wholeNumber } from '../../cli/options.ts'
import { byteSize, duration, table } from '../../cli/output.ts'
import { readPayload } from '../../cli/payload.ts'
import { progressLine } from '../../cli/progress.ts'

describe('a payload', () => {
  const read = async (argument?: string, stdin = '') =>
    Buffer.from(await readPayload(argument, Readable.from([Buffer.from(stdin)]))).toString()

  test('is the argument itself, byte for byte', async () => {
    expect(await read(' {"n": "ü"}\n')).toBe(' {"n": "ü"}\n')
  })

  test('is empty when there is no argument', async () => {
    expect(await read(undefined, 'unread')).toBe('')
  })

  test('is stdin for -', async () => {
    expect(await read('-', '{"n":1}')).toBe('{"n":1}')
  })

  test('is a file for @', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'lambus-test-payload-'))
    writeFileSync(join(dir, 'event.json'), '{"n":2}')
    expect(await read(`@${join(dir, 'event.json')}`)).toBe('{"n":2}')
    await expect(read(`@${join(dir, 'gone.json')}`)).rejects.toThrow(
      /there is no file .*gone\.json/,
    )
    await expect(read(`@${dir}`)).rejects.toThrow(/cannot be read/)
    rmSync(dir, { recursive: true })
  })
})

test.each([
  ['f', 'f', undefined],
  ['f:1', 'f', '1'],
  ['f:$LATEST', 'f', '$LATEST'],
  ['000000000000:function:f', '000000000000:function:f', undefined],
  ['000000000000:function:f:live', '000000000000:function:f', 'live'],
  ['arn:aws:lambda:us-east-1:0:function:f', 'arn:aws:lambda:us-east-1:0:function:f', undefined],
  ['arn:aws:lambda:us-east-1:0:function:f:2', 'arn:aws:lambda:us-east-1:0:function:f', '2'],
])('%s is function %s with qualifier %s', (text, name, qualifier) => {
  expect(splitFunctionName(text)).toEqual({ name, qualifier })
})

describe('a name that is not there', () => {
  const names = ['hello', 'hello-world', 'resize', 'billing']

  test.each([
    ['helo', ['hello']],
    ['Hello', ['hello', 'hello-world']],
    ['hlelo', ['hello']],
    ['reszie', ['resize']],
    ['bill', ['billing']],
    ['orders', []],
  ])('%s may have meant %j', (name, meant) => {
    expect(likeliest(name, names)).toEqual(meant)
  })
})

describe('an option', () => {
  test('that repeats gathers its pairs, and the first = divides', () => {
    expect(keyValue('B=x=y', keyValue('A='))).toEqual({ A: '', B: 'x=y' })
    expect(() => keyValue('=1')).toThrow('KEY=VALUE')
    expect(() => keyValue('A')).toThrow('KEY=VALUE')
  })

  test.each(['', '0', '11', '1.5', '1e1', '-1', 'x'])(
    'that is no whole number in range (%s) is refused',
    (text) => {
      expect(() => wholeNumber(1, 10)(text)).toThrow('a whole number from 1 to 10')
    },
  )

  test('that is a time is in milliseconds', () => {
    expect(['90s', '10m', '2h', '1d'].map(agoMs)).toEqual([90_000, 600_000, 7_200_000, 86_400_000])
    expect(() => agoMs('10')).toThrow('90s, 10m, 2h or 1d')
  })
})

test('sizes and times are shown as people say them', () => {
  expect([0, 999, 1000, 12_345, 123_456, 5e9].map(byteSize)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '12.3 kB',
    '123 kB',
    '5.0 GB',
  ])
  expect([0, 999, 65_000, 3_600_000, 93_784_000].map(duration)).toEqual([
    '0s',
    '0s',
    '1m 5s',
    '1h 0m',
    '1d 2h',
  ])
})

test('a table has columns as wide as they need, and no space at the end of a line', () => {
  expect(
    table([
      ['A', 'B'],
      ['long', 'x'],
    ]),
  ).toBe('A     B\nlong  x')
})

test('progress shows what is done, how much, and of how much, as far as it is known', () => {
  expect(progressLine('zipping')).toBe('zipping …')
  expect(progressLine('download', 1_500_000)).toBe('download … 1.5 MB')
  expect(progressLine('upload', 500, 1_000)).toBe('upload ████████████░░░░░░░░░░░░ 50 % of 1.0 kB')
})
