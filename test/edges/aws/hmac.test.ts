import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hmacWith } from '../../../edges/aws/hmac.ts'

const hex = (key: string, text: string) => hmacWith(Buffer.from(key, 'hex'))(text)

test.each([
  [
    'one',
    '0b'.repeat(20),
    'Hi There',
    'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  ],
  [
    'two',
    Buffer.from('Jefe').toString('hex'),
    'what do ya want for nothing?',
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
])('it gives what RFC 4231 says in its test case %s', (_, key, text, code) => {
  expect(hex(key, text)).toBe(code)
})

test('it gives what Node gives, for any key and text, one after the other', () => {
  const texts = fc.array(
    fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 500, maxLength: 520 })),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), texts, (key, all) => {
      const hmac = hmacWith(key)
      for (const text of all) {
        expect(hmac(text)).toBe(createHmac('sha256', key).update(text).digest('hex'))
      }
    }),
  )
})

test('it takes no key that would have to be hashed first', () => {
  expect(() => hmacWith(new Uint8Array(65))).toThrow(RangeError)
})
