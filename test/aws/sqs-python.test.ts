/**
 * SQS as older botocore sees it: boto3 and the AWS CLI of Debian 12 speak the Query protocol (forms and XML), and send what is
 * for a queue to the queue's URL. Newer ones speak JSON; the same must be true for both.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arnOf, startSqs } from './sqs-door.ts'

let here: Awaited<ReturnType<typeof startSqs>>
let dir: string
beforeAll(async () => {
  here = await startSqs()
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-sqs-'))
})
afterAll(async () => {
  rmSync(dir, { recursive: true })
  await here.stop()
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
/** What is first on the path, and what the system brings: they may speak different protocols. */
const pythons = ['python3', '/usr/bin/python3'].filter((python) =>
  has(python, ['-c', 'import boto3']),
)
const clis = ['aws', '/usr/bin/aws'].filter((cli) => has(cli, ['--version']))

const run = promisify(execFile)
const environment = () => ({
  ...process.env,
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_MAX_ATTEMPTS: '1',
  AWS_CONFIG_FILE: join(dir, 'none'),
  AWS_SHARED_CREDENTIALS_FILE: join(dir, 'none'),
  AWS_PAGER: '',
})

const script = (url: string) => `
import boto3, json
from botocore.exceptions import ClientError
from botocore.config import Config
client = boto3.client('sqs', endpoint_url='${url}', config=Config(retries={'max_attempts': 0}))
told = {}

def error(call, **given):
    try:
        call(**given)
        return 'no error'
    except ClientError as e:
        answer = e.response
        return [answer['ResponseMetadata']['HTTPStatusCode'], answer['Error']['Code'], answer['Error']['Message']]

dead = client.create_queue(QueueName='py-dead', tags={'a': '1'})['QueueUrl']
policy = json.dumps({'deadLetterTargetArn': '${arnOf('py-dead')}', 'maxReceiveCount': '1'})
queue = client.create_queue(QueueName='py', Attributes={'VisibilityTimeout': '0', 'RedrivePolicy': policy})['QueueUrl']
told['url'] = queue
told['same'] = client.get_queue_url(QueueName='py')['QueueUrl'] == queue
told['listed'] = client.list_queues(QueueNamePrefix='py')['QueueUrls'] == [queue, dead]
told['none'] = 'QueueUrls' in client.list_queues(QueueNamePrefix='nope')
told['sources'] = client.list_dead_letter_source_queues(QueueUrl=dead)['queueUrls'] == [queue]
told['attributes'] = client.get_queue_attributes(QueueUrl=queue, AttributeNames=['QueueArn', 'VisibilityTimeout'])['Attributes']
client.set_queue_attributes(QueueUrl=queue, Attributes={'DelaySeconds': '0', 'ReceiveMessageWaitTimeSeconds': '1'})
client.tag_queue(QueueUrl=dead, Tags={'b': 'ü & <x>'})
client.untag_queue(QueueUrl=dead, TagKeys=['a'])
told['tags'] = client.list_queue_tags(QueueUrl=dead)['Tags']

body = 'a\\r\\nb & <ü> "😀" + %41 '
sent = client.send_message(QueueUrl=queue, MessageBody=body,
    MessageAttributes={'text': {'DataType': 'String', 'StringValue': 'x\\r<&'}, 'bytes': {'DataType': 'Binary', 'BinaryValue': b'\\x00\\xff'}},
    MessageSystemAttributes={'AWSTraceHeader': {'DataType': 'String', 'StringValue': 'Root=1'}})
message = client.receive_message(QueueUrl=queue, AttributeNames=['All'], MessageAttributeNames=['All'])['Messages'][0]
told['body'] = message['Body'] == body
told['sums'] = [message['MD5OfBody'] == sent['MD5OfMessageBody'], message['MD5OfMessageAttributes'] == sent['MD5OfMessageAttributes'], 'MD5OfMessageSystemAttributes' in sent]
told['text'] = message['MessageAttributes']['text']
told['bytes'] = list(message['MessageAttributes']['bytes']['BinaryValue'])
told['trace'] = message['Attributes']['AWSTraceHeader']
told['empty'] = 'Messages' in client.receive_message(QueueUrl=queue)
buried = client.receive_message(QueueUrl=dead, AttributeNames=['All'])['Messages'][0]
told['buried'] = [buried['MessageId'] == sent['MessageId'], buried['Attributes']['ApproximateReceiveCount']]
told['changed'] = client.change_message_visibility(QueueUrl=dead, ReceiptHandle=buried['ReceiptHandle'], VisibilityTimeout=60)['ResponseMetadata']['HTTPStatusCode']
told['deleted'] = client.delete_message(QueueUrl=dead, ReceiptHandle=buried['ReceiptHandle'])['ResponseMetadata']['HTTPStatusCode']

batch = client.send_message_batch(QueueUrl=dead, Entries=[{'Id': str(i), 'MessageBody': 'm%d' % i, 'DelaySeconds': 0} for i in range(10)] )
told['sent'] = [len(batch['Successful']), 'Failed' in batch]
got = []
while len(got) < 10:
    got += client.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, WaitTimeSeconds=1).get('Messages', [])
told['bodies'] = sorted(m['Body'] for m in got)
entries = [{'Id': str(i), 'ReceiptHandle': m['ReceiptHandle']} for i, m in enumerate(got)]
visible = client.change_message_visibility_batch(QueueUrl=dead, Entries=[dict(e, VisibilityTimeout=100) for e in entries])
told['visible'] = len(visible['Successful'])
gone = client.delete_message_batch(QueueUrl=dead, Entries=entries[:9] + [{'Id': 'x', 'ReceiptHandle': 'garbage'}])
told['gone'] = [len(gone['Successful']), gone['Failed']]
client.purge_queue(QueueUrl=dead)

told['no queue'] = error(client.get_queue_url, QueueName='nope')
told['no queue at its url'] = error(client.send_message, QueueUrl=queue + '-nope', MessageBody='x')[1]
told['no body'] = error(client.send_message, QueueUrl=queue, MessageBody='')
told['eleven'] = error(client.send_message_batch, QueueUrl=queue, Entries=[{'Id': str(i), 'MessageBody': 'm'} for i in range(11)])
told['bad handle'] = error(client.delete_message, QueueUrl=queue, ReceiptHandle='garbage')
told['bad attribute'] = error(client.create_queue, QueueName='x', Attributes={'VisibilityTimeout': '-1'})
told['fifo'] = error(client.create_queue, QueueName='x.fifo', Attributes={'FifoQueue': 'true'})
told['not built'] = error(client.add_permission, QueueUrl=queue, Label='l', AWSAccountIds=['1'], Actions=['*'])[:2]
told['wrong secret'] = error(boto3.client('sqs', endpoint_url='${url}', aws_secret_access_key='no', aws_access_key_id='test').list_queues)[:2]
told['wrong key'] = error(boto3.client('sqs', endpoint_url='${url}', aws_secret_access_key='test', aws_access_key_id='no').list_queues)[:2]
told['resource'] = boto3.resource('sqs', endpoint_url='${url}').get_queue_by_name(QueueName='py').url == queue
client.delete_queue(QueueUrl=queue)
client.delete_queue(QueueUrl=dead)
print(json.dumps(told))
`

test('whoever speaks Query and has not signed is refused in XML', async () => {
  const body = new URLSearchParams({ Action: 'ListQueues', Version: '2012-11-05' })
  const answer = await fetch(here.url, { method: 'POST', body })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([403, 'text/xml'])
  expect(await answer.text()).toMatch(
    /^<\?xml version="1\.0"\?><ErrorResponse xmlns="http:\/\/queue\.amazonaws\.com\/doc\/2012-11-05\/"><Error><Type>Sender<\/Type><Code>MissingAuthenticationToken<\/Code>/,
  )
})

test.each(pythons)(
  'boto3 of %s goes through the life of a queue and its messages',
  { timeout: 60_000 },
  async (python) => {
    writeFileSync(join(dir, 'life.py'), script(here.url))
    const { stdout } = await run(python, ['life.py'], { env: environment(), cwd: dir })
    const told = JSON.parse(stdout)
    // Both sentences are AWS's; which one depends on the protocol that this botocore speaks.
    const noQueue = /^The specified queue does not exist(\.| for this wsdl version\.)$/
    expect(told).toEqual({
      url: `${here.url}/000000000000/py`,
      same: true,
      listed: true,
      none: false,
      sources: true,
      attributes: { QueueArn: arnOf('py'), VisibilityTimeout: '0' },
      tags: { b: 'ü & <x>' },
      body: true,
      sums: [true, true, true],
      text: { DataType: 'String', StringValue: 'x\r<&' },
      bytes: [0, 255],
      trace: 'Root=1',
      empty: false,
      buried: [true, '2'],
      changed: 200,
      deleted: 200,
      sent: [10, false],
      bodies: Array.from({ length: 10 }, (_, index) => `m${index}`),
      visible: 10,
      gone: [
        9,
        [
          {
            Id: 'x',
            SenderFault: true,
            Code: 'ReceiptHandleIsInvalid',
            Message: 'The input receipt handle "garbage" is not a valid receipt handle.',
          },
        ],
      ],
      'no queue': [400, 'AWS.SimpleQueueService.NonExistentQueue', expect.stringMatching(noQueue)],
      'no queue at its url': 'AWS.SimpleQueueService.NonExistentQueue',
      'no body': [400, 'MissingParameter', 'The request must contain the parameter MessageBody.'],
      eleven: [
        400,
        'AWS.SimpleQueueService.TooManyEntriesInBatchRequest',
        'Maximum number of entries per request are 10. You have sent 11.',
      ],
      'bad handle': [
        400,
        'ReceiptHandleIsInvalid',
        'The input receipt handle "garbage" is not a valid receipt handle.',
      ],
      'bad attribute': [
        400,
        'InvalidAttributeValue',
        'Invalid value for the parameter VisibilityTimeout.',
      ],
      fifo: [400, 'InvalidParameterValue', 'lambus does not have FIFO queues.'],
      'not built': [400, 'InvalidAction'],
      'wrong secret': [403, 'SignatureDoesNotMatch'],
      'wrong key': [403, 'InvalidClientTokenId'],
      resource: true,
    })
  },
)

test.each(clis)(
  '%s, the AWS CLI, sends, receives and deletes a message',
  { timeout: 60_000 },
  async (cli) => {
    const aws = async (...args: string[]) => {
      const { stdout } = await run(cli, ['sqs', ...args, '--endpoint-url', here.url], {
        env: environment(),
        cwd: dir,
      })
      return stdout === '' ? undefined : JSON.parse(stdout)
    }
    const { QueueUrl: url } = await aws('create-queue', '--queue-name', 'cli')
    const { MessageId } = await aws('send-message', '--queue-url', url, '--message-body', 'hällo')
    const { Messages } = await aws(
      'receive-message',
      '--queue-url',
      url,
      '--wait-time-seconds',
      '5',
    )
    expect(Messages).toMatchObject([{ MessageId, Body: 'hällo' }])
    const [{ ReceiptHandle }] = Messages
    await aws('delete-message', '--queue-url', url, '--receipt-handle', ReceiptHandle)
    expect(await aws('receive-message', '--queue-url', url)).toBeUndefined()
    await aws('delete-queue', '--queue-url', url)
    await expect(aws('get-queue-url', '--queue-name', 'cli')).rejects.toThrow(
      /AWS\.SimpleQueueService\.NonExistentQueue.*The specified queue does not exist/,
    )
  },
)
