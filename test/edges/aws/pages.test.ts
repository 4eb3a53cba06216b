import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isRefusal } from '../../../edges/aws/errors.ts'
import { pageOf } from '../../../edges/aws/pages.ts'

const isKey = (text: string) => /^[a-z]+$/.test(text)
const pages = (input: object, all: string[]) =>
  pageOf('ListX', { ...input }, all, (key) => key, isKey)

test('whatever the size of the pages, all are shown once, in their order', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { maxLength: 120 }),
      fc.integer({ min: 1, max: 60 }),
      (all, MaxItems) => {
        const shown: string[] = []
        let Marker: string | undefined
        do {
          const page = pages({ MaxItems, Marker }, all)
          if (isRefusal(page)) throw new Error(page.body)
          expect(page.items.length).toBeLessThanOrEqual(Math.min(MaxItems, 50))
          shown.push(...page.items)
          Marker = page.nextMarker
        } while (Marker !== undefined)
        expect(shown).toEqual([...all].sort())
      },
    ),
  )
})

test('a marker of somebody else’s is refused', () => {
  expect(pages({ Marker: 'x y' }, [])).toMatchObject({
    code: 'InvalidParameterValueException',
    message: 'The Marker is not one that ListX gave.',
  })
})
