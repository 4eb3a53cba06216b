import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { findNode } from '../../edges/node-binary.ts'

test('the binary for nodejs24.x is a Node 24', () => {
  const path = findNode(24) as string
  expect(execFileSync(path, ['--version']).toString()).toMatch(/^v24\./)
})

test('there is none for a version that nobody has', () => {
  expect(findNode(9)).toBeUndefined()
})
