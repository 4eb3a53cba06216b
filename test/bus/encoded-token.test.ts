import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeToken, encodeToken } from '../../bus/encoded-token.ts'
import { token } from '../../bus/subjects.ts'

// A lone surrogate has no UTF-8; JSON and NATS cannot carry it either.
const names = fc.string({ unit: 'binary' }).filter((name) => name.isWellFormed())

test('every name is a legal token, and comes back as it was', () => {
  fc.assert(
    fc.property(names, (name) => {
      const encoded = encodeToken(name)
      expect(token(encoded)).toBe(encoded)
      expect(encoded).toMatch(/^[-=\w]+$/)
      expect(decodeToken(encoded)).toBe(name)
    }),
  )
})

test('plain names are left as they are, so that people can read the keys', () => {
  expect(encodeToken('order-7_a')).toBe('order-7_a')
  expect(encodeToken('order 7/ü=')).toBe('order=207=2F=C3=BC=3D')
  expect(encodeToken('')).toBe('=')
})

test('what we did not make is not taken for a name', () => {
  for (const foreign of ['=41', '=zz', '=e4', 'a=', '=C3', 'a.b', 'a b', 'ü', '']) {
    expect(decodeToken(foreign)).toBeUndefined()
  }
})

test('any text is read without an exception', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const name = decodeToken(text)
      if (name !== undefined) expect(encodeToken(name)).toBe(text)
    }),
  )
})
