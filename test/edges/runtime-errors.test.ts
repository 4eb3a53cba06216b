import { expect, test } from 'vitest'
import { runtimeExited, timedOut } from '../../edges/runtime-errors.ts'

const id = '8f507cfc-xmpl-4697-b07a-ac58fc914c95'

test('a timeout is Sandbox.Timedout with seconds of two decimals (§1.5)', () => {
  expect(timedOut(id, 3000)).toEqual({
    errorType: 'Sandbox.Timedout',
    payload: `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ${id} Error: Task timed out after 3.00 seconds"}`,
  })
})

test.each([
  [{ code: 1, signal: null }, 'Runtime exited with error: exit status 1'],
  [{ code: 127, signal: null }, 'Runtime exited with error: exit status 127'],
  [{ code: 0, signal: null }, 'Runtime exited without providing a reason'],
  [{ code: null, signal: null }, 'Runtime exited without providing a reason'],
  [{ code: null, signal: 'SIGKILL' }, 'Runtime exited with error: signal: killed'],
  [{ code: null, signal: 'SIGSEGV' }, 'Runtime exited with error: signal: segmentation fault'],
  [{ code: null, signal: 'SIGABRT' }, 'Runtime exited with error: signal: aborted'],
])('%o is Runtime.ExitError: %s (§1.5)', (exit, text) => {
  expect(runtimeExited(id, exit)).toEqual({
    errorType: 'Runtime.ExitError',
    payload: `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ${id} Error: ${text}"}`,
  })
})
