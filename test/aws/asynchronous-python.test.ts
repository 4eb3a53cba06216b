/** Asynchronous invocation as botocore sees it: accepted, tried again, told. Sources as in asynchronous.test.ts. */
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Asynchronous, functionArn, queueArn, startAsynchronous } from './asynchronous.ts'

/** Debian's own, which may have python3-boto3; it speaks SQS's older protocol. */
const python = '/usr/bin/python3'
const hasBoto3 = ((): boolean => {
  try {
    execFileSync(python, ['-c', 'import boto3'], { stdio: 'ignore' })
    return true
  } catch {
    console.log(`did not run: \`${python} -c "import boto3"\` does not work here`)
    return false
  }
})()

let it: Asynchronous
beforeAll(async () => {
  if (hasBoto3) it = await startAsynchronous()
})
afterAll(() => it?.stop())

const script = `
import boto3, json, os
from botocore.exceptions import ClientError
from botocore.config import Config
config = Config(retries={'max_attempts': 0})
# Debian's does not read AWS_ENDPOINT_URL yet.
functions, queues = (boto3.client(service, config=config, endpoint_url=os.environ['AWS_ENDPOINT_URL']) for service in ('lambda', 'sqs'))
name, told = 'python', {}

def error(call, **given):
    try:
        call(**given)
        return 'no error'
    except ClientError as e:
        return [e.response['ResponseMetadata']['HTTPStatusCode'], e.response['Error']['Code'], e.response['Error']['Message']]

def take(queue):
    url = queues.get_queue_url(QueueName=queue)['QueueUrl']
    for _ in range(20):
        for message in queues.receive_message(QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=['All'], AttributeNames=['All']).get('Messages', []):
            queues.delete_message(QueueUrl=url, ReceiptHandle=message['ReceiptHandle'])
            return message

def send(wish):
    return functions.invoke(FunctionName=name, InvocationType='Event', Payload=json.dumps(wish).encode())

for queue in ('python-ok', 'python-bad'):
    queues.create_queue(QueueName=queue)
functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, DestinationConfig={
    'OnSuccess': {'Destination': '${queueArn('python-ok')}'}, 'OnFailure': {'Destination': '${queueArn('python-bad')}'}})

accepted = send({'answer': 'ä'})
told['accepted'] = [accepted['StatusCode'], accepted['Payload'].read().decode(), accepted.get('ExecutedVersion'), accepted.get('FunctionError')]
message = take('python-ok')
told['success'] = json.loads(message['Body'])
told['same id'] = told['success']['requestContext'].pop('requestId') == accepted['ResponseMetadata']['RequestId']
told['success'].pop('timestamp')
told['trace'] = message['Attributes']['AWSTraceHeader'].startswith(accepted['ResponseMetadata']['HTTPHeaders']['x-amzn-trace-id'])

failed = send({'failures': 9})
record, letter = json.loads(take('python-bad')['Body']), take('python-dead')
told['failure'] = [record['requestContext']['condition'], record['requestContext']['approximateInvokeCount'], record['responsePayload']['errorMessage']]
told['letter'] = [letter['Body'], letter['MessageAttributes']['ErrorCode'], letter['MessageAttributes']['ErrorMessage'],
                  letter['MessageAttributes']['RequestID']['StringValue'] == failed['ResponseMetadata']['RequestId']]

told['invoke_async'] = functions.invoke_async(FunctionName=name, InvokeArgs=b'{}')['Status']
told['dry run'] = functions.invoke(FunctionName=name, InvocationType='DryRun')['StatusCode']
told['bad'] = error(functions.invoke, FunctionName=name, InvocationType='Event', Payload=b'{')[:2]
told['too large'] = error(functions.invoke, FunctionName=name, InvocationType='Event', Payload=b'"' + b'x' * 1048575 + b'"')
told['not found'] = error(functions.invoke, FunctionName='nope', InvocationType='Event')
print(json.dumps(told))
`

test.skipIf(!hasBoto3)(
  'boto3 sends events and is told their ends',
  { timeout: 60_000 },
  async () => {
    await it.deploy('python', {
      DeadLetterConfig: { TargetArn: await it.makeQueue('python-dead') },
    })
    const { stdout } = await promisify(execFile)(python, ['-c', script], {
      cwd: it.system.dataDir,
      env: {
        ...process.env,
        AWS_ENDPOINT_URL: it.system.http,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_CONFIG_FILE: `${it.system.dataDir}/none`,
        AWS_SHARED_CREDENTIALS_FILE: `${it.system.dataDir}/none`,
      },
    })
    expect(JSON.parse(stdout)).toEqual({
      accepted: [202, '', null, null],
      success: {
        version: '1.0',
        requestContext: {
          functionArn: `${functionArn('python')}:$LATEST`,
          condition: 'Success',
          approximateInvokeCount: 1,
        },
        requestPayload: { answer: 'ä' },
        responseContext: { statusCode: 200, executedVersion: '$LATEST' },
        responsePayload: 'ä',
      },
      'same id': true,
      trace: true,
      failure: ['RetriesExhausted', 2, 'no luck'],
      letter: [
        '{"failures": 9}',
        { StringValue: '200', DataType: 'Number' },
        { StringValue: 'no luck', DataType: 'String' },
        true,
      ],
      invoke_async: 202,
      'dry run': 204,
      bad: [400, 'InvalidRequestContentException'],
      'too large': [
        413,
        'RequestEntityTooLargeException',
        '1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)',
      ],
      'not found': [
        404,
        'ResourceNotFoundException',
        `Function not found: ${functionArn('nope')}:$LATEST`,
      ],
    })
  },
)
