/** The same door, asked by botocore: boto3 with its waiters, and the AWS CLI. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arnOf, type ControlPlane, role, startControlPlane, zip } from './control-plane.ts'

let plane: ControlPlane
let dir: string
beforeAll(async () => {
  plane = await startControlPlane()
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-python-'))
  writeFileSync(join(dir, 'f.zip'), zip)
})
afterAll(async () => {
  rmSync(dir, { recursive: true })
  await plane.stop()
})

/** Whether a command runs here; says so when it does not. */
function has(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    console.log(`did not run: \`${command} ${args.join(' ')}\` does not work here`)
    return false
  }
}
const hasBoto3 = has('python3', ['-c', 'import boto3'])
const hasCli = has('aws', ['--version'])

const environment = () => ({
  ...process.env,
  AWS_ENDPOINT_URL: plane.url,
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_MAX_ATTEMPTS: '1',
  AWS_CONFIG_FILE: join(dir, 'none'),
  AWS_SHARED_CREDENTIALS_FILE: join(dir, 'none'),
  AWS_PAGER: '',
})
const run = promisify(execFile)
const aws = async (...args: string[]) => {
  const { stdout } = await run('aws', [...args, '--endpoint-url', plane.url], {
    env: environment(),
    cwd: dir,
  })
  return stdout === '' ? undefined : JSON.parse(stdout)
}

const script = `
import boto3, json, sys, time, urllib.request
from botocore.exceptions import ClientError
from botocore.config import Config
client = boto3.client('lambda', config=Config(retries={'max_attempts': 0}))
zip = open('f.zip', 'rb').read()
name, told = 'py', {}

def error(call, **given):
    try:
        call(**given)
        return 'no error'
    except ClientError as e:
        answer = e.response
        return [answer['ResponseMetadata']['HTTPStatusCode'], answer['Error']['Code'], answer['Error']['Message'], answer.get('Type')]

created = client.create_function(FunctionName=name, Runtime='nodejs24.x', Role='${role}', Handler='index.handler', Code={'ZipFile': zip}, Tags={'a': '1'})
told['created'] = [created['State'], created['ResponseMetadata']['HTTPStatusCode']]
client.get_waiter('function_active_v2').wait(FunctionName=name, WaiterConfig={'Delay': 1})
got = client.get_function(FunctionName=name)
told['same code'] = urllib.request.urlopen(got['Code']['Location']).read() == zip
client.update_function_configuration(FunctionName=name, Timeout=9)
client.get_waiter('function_updated_v2').wait(FunctionName=name, WaiterConfig={'Delay': 1})
told['timeout'] = client.get_function_configuration(FunctionName=name)['Timeout']
invoked = client.invoke(FunctionName=name, Payload='{"ä": 1}'.encode(), LogType='None')
told['invoked'] = [invoked['StatusCode'], invoked['ExecutedVersion'], invoked['Payload'].read().decode()]
told['by arn'] = client.invoke(FunctionName=created['FunctionArn'], Qualifier='$LATEST')['Payload'].read().decode()
told['listed'] = [f['FunctionName'] for page in client.get_paginator('list_functions').paginate() for f in page['Functions']]
client.tag_resource(Resource=created['FunctionArn'], Tags={'b ü': '2'})
client.untag_resource(Resource=created['FunctionArn'], TagKeys=['a'])
told['tags'] = client.list_tags(Resource=created['FunctionArn'])['Tags']
put = client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={'OnFailure': {'Destination': 'arn:lambus:nats:::failed'}})
told['event invoke'] = [put['MaximumRetryAttempts'], put['DestinationConfig'], abs(time.time() - put['LastModified'].timestamp()) < 60]
told['event invokes'] = [c['FunctionArn'] for page in client.get_paginator('list_function_event_invoke_configs').paginate(FunctionName=name) for c in page['FunctionEventInvokeConfigs']]
client.delete_function_event_invoke_config(FunctionName=name)
told['recursion'] = client.get_function_recursion_config(FunctionName=name)['RecursiveLoop']
told['reserved'] = client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)['ReservedConcurrentExecutions']
told['concurrency'] = client.get_function(FunctionName=name)['Concurrency']
client.delete_function_concurrency(FunctionName=name)
told['not reserved'] = client.get_function_concurrency(FunctionName=name).get('ReservedConcurrentExecutions')
told['bad payload'] = error(client.invoke, FunctionName=name, Payload=b'{')[:2]
told['too large'] = error(client.invoke, FunctionName=name, Payload=b' ' * 7000000)
told['exists'] = error(client.create_function, FunctionName=name, Runtime='nodejs24.x', Role='${role}', Handler='index.handler', Code={'ZipFile': zip})
told['not found'] = error(client.get_function, FunctionName='nope')
told['not built'] = error(client.publish_version, FunctionName=name)[:2]
told['deleted'] = client.delete_function(FunctionName=name)['ResponseMetadata']['HTTPStatusCode']
told['kinesis'] = error(boto3.client('kinesis', config=Config(retries={'max_attempts': 0})).list_streams)[:2]
told['sqs'] = error(boto3.client('sqs', config=Config(retries={'max_attempts': 0})).list_queues)[:2]
told['wrong secret'] = error(boto3.client('lambda', aws_secret_access_key='no', aws_access_key_id='test').list_functions)[:2]
told['wrong key'] = error(boto3.client('lambda', aws_secret_access_key='test', aws_access_key_id='no').list_functions)[:2]
print(json.dumps(told))
`

test.skipIf(!hasBoto3)(
  'boto3 goes through the life of a function',
  { timeout: 60_000 },
  async () => {
    writeFileSync(join(dir, 'life.py'), script)
    const { stdout } = await run('python3', ['life.py'], { env: environment(), cwd: dir })
    expect(JSON.parse(stdout)).toEqual({
      created: ['Pending', 201],
      'same code': true,
      timeout: 9,
      invoked: [200, '$LATEST', '{"ä": 1}'],
      'by arn': '{}',
      listed: ['py'],
      tags: { 'b ü': '2' },
      'event invoke': [
        0,
        { OnSuccess: {}, OnFailure: { Destination: 'arn:lambus:nats:::failed' } },
        true,
      ],
      'event invokes': [`${arnOf('py')}:$LATEST`],
      recursion: 'Terminate',
      reserved: 7,
      concurrency: { ReservedConcurrentExecutions: 7 },
      'not reserved': null,
      'bad payload': [400, 'InvalidRequestContentException'],
      'too large': [
        413,
        'RequestEntityTooLargeException',
        'Request must be smaller than 6291456 bytes for the InvokeFunction operation',
        null,
      ],
      exists: [409, 'ResourceConflictException', 'Function already exist: py', 'User'],
      'not found': [
        404,
        'ResourceNotFoundException',
        `Function not found: ${arnOf('nope')}`,
        'User',
      ],
      'not built': [404, 'UnknownOperationException'],
      deleted: 204,
      kinesis: [400, 'UnknownOperationException'],
      sqs: [400, 'UnknownOperationException'],
      'wrong secret': [403, 'InvalidSignatureException'],
      'wrong key': [403, 'UnrecognizedClientException'],
    })
  },
)

test.skipIf(!hasCli)(
  'the AWS CLI creates, waits for, invokes and deletes a function',
  { timeout: 60_000 },
  async () => {
    const create = await aws(
      ...['lambda', 'create-function', '--function-name', 'cli', '--runtime', 'nodejs24.x'],
      ...['--handler', 'index.handler', '--role', role, '--zip-file', 'fileb://f.zip'],
    )
    expect(create).toMatchObject({ FunctionName: 'cli', State: 'Pending' })
    await aws('lambda', 'wait', 'function-active', '--function-name', 'cli')
    const invoked = await aws(
      ...['lambda', 'invoke', '--function-name', 'cli', '--payload', '{"n":1}', 'out.json'],
      // The second major version reads payloads as base64 unless told otherwise; the first does not know the flag.
      ...((await isSecondVersion()) ? ['--cli-binary-format', 'raw-in-base64-out'] : []),
    )
    expect(invoked).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' })
    expect(readFileSync(join(dir, 'out.json'), 'utf8')).toBe('{"n":1}')
    await expect(aws('lambda', 'get-function', '--function-name', 'nope')).rejects.toThrow(
      /ResourceNotFoundException.*Function not found/,
    )
    await aws('lambda', 'delete-function', '--function-name', 'cli')
  },
)

const isSecondVersion = async () => {
  const { stdout, stderr } = await run('aws', ['--version'])
  return /aws-cli\/2/.test(stdout + stderr)
}
