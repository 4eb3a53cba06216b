import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { environmentOf, quoted, shellExports } from '../../cli/env.ts'

test('a shell reads back exactly what was quoted, whatever it holds', () => {
  // NUL cannot be in an argument, and is in no address.
  const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((each) => !each.includes('\0'))
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (texts) => {
      const script = texts.map((each) => `printf '%s\\0' ${quoted(each)}`).join('\n')
      const read = execFileSync('sh', ['-c', script], { encoding: 'utf8' })
      expect(read.split('\0').slice(0, -1)).toEqual(texts)
    }),
    { numRuns: 30 },
  )
})

test('the exports give every tool its own names, and the password only where it belongs', () => {
  const variables = environmentOf({
    http: 'http://127.0.0.1:4001',
    inspector: 'http://127.0.0.1:4002',
    nats: { url: 'nats://127.0.0.1:4003', user: 'lambus', password: "it's" },
    door: 'http',
    source: 'a test',
    isFallback: false,
    isStale: false,
  })
  expect(shellExports(variables)).toMatchInlineSnapshot(`
    "export LAMBUS_HTTP='http://127.0.0.1:4001'
    export LAMBUS_INSPECTOR='http://127.0.0.1:4002'
    export LAMBUS_NATS='nats://lambus:it'\\''s@127.0.0.1:4003'
    export NATS_URL='nats://127.0.0.1:4003'
    export NATS_USER='lambus'
    export NATS_PASSWORD='it'\\''s'
    export AWS_ENDPOINT_URL='http://127.0.0.1:4001'
    export AWS_ACCESS_KEY_ID='test'
    export AWS_SECRET_ACCESS_KEY='test'
    export AWS_REGION='us-east-1'
    export AWS_DEFAULT_REGION='us-east-1'"
  `)
})
