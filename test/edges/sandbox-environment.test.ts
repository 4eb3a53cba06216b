import { expect, test } from 'vitest'
import { sandboxEnvironment } from '../../edges/sandbox-environment.ts'

const of = {
  functionName: 'hello',
  version: '7',
  handler: 'index.handler',
  runtime: 'nodejs24.x',
  memoryMb: 512,
  region: 'eu-west-1',
  logGroup: '/aws/lambda/hello',
  logStream: '2026/03/04/[7]ab',
  taskRoot: '/packages/abc/task',
  initializationType: 'on-demand' as const,
  variables: {},
}

test("a sandbox has AWS's variables and no other (§7.7)", () => {
  expect(sandboxEnvironment(of)).toEqual({
    _HANDLER: 'index.handler',
    AWS_DEFAULT_REGION: 'eu-west-1',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
    AWS_LAMBDA_FUNCTION_NAME: 'hello',
    AWS_LAMBDA_FUNCTION_VERSION: '7',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/hello',
    AWS_LAMBDA_LOG_STREAM_NAME: '2026/03/04/[7]ab',
    AWS_REGION: 'eu-west-1',
    AWS_XRAY_CONTEXT_MISSING: 'LOG_ERROR',
    LAMBDA_TASK_ROOT: '/packages/abc/task',
    LANG: 'en_US.UTF-8',
    NODE_PATH:
      '/opt/nodejs/node24/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/packages/abc/task',
    PATH: '/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin',
    PWD: '/packages/abc/task',
    SHLVL: '0',
    TZ: ':UTC',
  })
})

test("a function's own variables win, but for the reserved ones", () => {
  const variables = {
    TZ: 'Europe/Paris',
    MINE: '1',
    AWS_REGION: 'moon',
    AWS_SECRET_ACCESS_KEY: 'x',
  }
  const environment = sandboxEnvironment({ ...of, variables })
  expect(environment).toMatchObject({ TZ: 'Europe/Paris', MINE: '1', AWS_REGION: 'eu-west-1' })
  expect(environment).not.toHaveProperty('AWS_SECRET_ACCESS_KEY')
})

test('a sandbox without a /tmp of its own is told where its temporary files go', () => {
  expect(sandboxEnvironment({ ...of, tmpDir: '/sandboxes/1/tmp' })).toMatchObject({
    TMPDIR: '/sandboxes/1/tmp',
  })
})
