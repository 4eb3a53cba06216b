/**
 * Streams as botocore sees them: a consumer as the Kinesis Client Library is one, and a walk through all operations of
 * Kinesis and those of Lambda on mappings.
 * Sources: lambda-semantics.md §5, §8, and §9 for the rules of a consumer.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deploy, type System, startSystem } from '../system/system.ts'

/** What is first on the path, and what the system brings: they may speak different versions of the protocol. */
const pythons = ['python3', '/usr/bin/python3'].filter((python) => {
  try {
    execFileSync(python, ['-c', 'import boto3'], { stdio: 'ignore' })
    return true
  } catch {
    console.log(`did not run: \`${python} -c "import boto3"\` does not work here`)
    return false
  }
})

let system: System
let dir: string
beforeAll(async () => {
  if (pythons.length === 0) return
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-kinesis-'))
  system = await startSystem([], { LAMBUS_STREAM_SETTLE_MS: '200' })
  await deploy(system.lambda, 'f', 'export const handler = async () => {}')
  await deploy(system.lambda, 'g', 'export const handler = async () => {}')
})
afterAll(async () => {
  if (pythons.length === 0) return
  await system.stop()
  rmSync(dir, { recursive: true })
})

const run = promisify(execFile)
/** What a script tells as JSON; its streams have names that begin with `prefix`. */
async function told(python: string, script: string, prefix: string) {
  writeFileSync(join(dir, `${prefix}.py`), preamble + script)
  const { stdout } = await run(python, [`${prefix}.py`, system.http ?? '', prefix], {
    cwd: dir,
    env: {
      ...process.env,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_CONFIG_FILE: join(dir, 'none'),
      AWS_SHARED_CREDENTIALS_FILE: join(dir, 'none'),
    },
  })
  return JSON.parse(stdout)
}

const preamble = `
import boto3, json, sys, threading, time, datetime
from botocore.exceptions import ClientError
from botocore.config import Config
url, prefix = sys.argv[1], sys.argv[2]
kinesis, functions = (boto3.client(service, endpoint_url=url, config=Config(retries={'max_attempts': 0})) for service in ('kinesis', 'lambda'))
told = {}

def error(call, **given):
    try:
        call(**given)
        return 'no error'
    except ClientError as e:
        answer = e.response
        return [answer['ResponseMetadata']['HTTPStatusCode'], answer['Error']['Code'], answer['Error']['Message']]

def active(stream):
    kinesis.get_waiter('stream_exists').wait(StreamName=stream, WaiterConfig={'Delay': 1, 'MaxAttempts': 20})

def until(holds):
    for _ in range(200):
        if holds(): return True
        time.sleep(0.1)
    raise Exception('it never came to be')
`

/** Puts 60 keys × 50 records while the stream is split and merged, and reads them by leases and checkpoints. */
const consumer = `
stream, KEYS, EACH = prefix + '-kcl', 60, 50
kinesis.create_stream(StreamName=stream, ShardCount=2)
active(stream)

def shards():
    return [shard for page in kinesis.get_paginator('list_shards').paginate(StreamName=stream) for shard in page['Shards']]

def produce():
    for n in range(EACH):
        answer = kinesis.put_records(StreamName=stream, Records=[{'PartitionKey': 'key-%d' % key, 'Data': ('%d' % n).encode()} for key in range(KEYS)])
        assert answer['FailedRecordCount'] == 0, answer
        if n == 15: kinesis.split_shard(StreamName=stream, ShardToSplit='shardId-000000000000', NewStartingHashKey=str(2 ** 126))
        if n == 16: active(stream)
        if n == 30: kinesis.merge_shards(StreamName=stream, ShardToMerge='shardId-000000000003', AdjacentShardToMerge='shardId-000000000001')
        if n == 31: active(stream)
        if n == 40: kinesis.update_shard_count(StreamName=stream, TargetShardCount=3, ScalingType='UNIFORM_SCALING')
        time.sleep(0.01)
    active(stream)

producer = threading.Thread(target=produce)
producer.start()

# A lease table: where to go on, by shard; None at the beginning.
END = 'SHARD_END'
checkpoints, iterators, seen, order, ends, behind = {}, {}, {}, [], {}, []

def sync():
    known = shards()
    ids = {shard['ShardId'] for shard in known}
    for shard in known:
        checkpoints.setdefault(shard['ShardId'], None)
        parents = [shard[name] for name in ('ParentShardId', 'AdjacentParentShardId') if shard.get(name) in ids]
        ready = all(checkpoints.get(parent) == END for parent in parents)
        if ready and checkpoints[shard['ShardId']] != END and shard['ShardId'] not in iterators: take(shard['ShardId'])
    return known

def take(shard):
    at = checkpoints[shard]
    where = {'ShardIteratorType': 'TRIM_HORIZON'} if at is None else {'ShardIteratorType': 'AFTER_SEQUENCE_NUMBER', 'StartingSequenceNumber': at}
    iterators[shard] = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **where)['ShardIterator']
    order.append(shard)

def read(shard):
    answer = kinesis.get_records(ShardIterator=iterators[shard], Limit=97)
    for record in answer['Records']:
        key = record['PartitionKey']
        seen.setdefault(key, []).append(int(record['Data']))
        checkpoints[shard] = record['SequenceNumber']
    behind.append(answer['MillisBehindLatest'])
    following = answer.get('NextShardIterator')
    if following is not None:
        assert not answer.get('ChildShards'), answer
        iterators[shard] = following
        return len(answer['Records'])
    ends[shard] = sorted((child['ShardId'], tuple(sorted(child['ParentShards'])), child['HashKeyRange']['StartingHashKey']) for child in answer['ChildShards'])
    checkpoints[shard] = END
    del iterators[shard]
    return 1

rounds = 0
while True:
    done = not producer.is_alive()
    known = sync()
    count = sum(read(shard) for shard in list(iterators))
    rounds += 1
    # It is restarted now and then, and goes on at its checkpoints.
    if rounds % 20 == 0: iterators.clear()
    if done and count == 0 and iterators: break

producer.join()
told['keys'] = len(seen)
told['in order, once'] = all(numbers == list(range(EACH)) for numbers in seen.values())
told['behind at the end'] = behind[-1]
told['checkpoints'] = sorted({checkpoint for checkpoint in checkpoints.values() if checkpoint == END})
known = shards()
lineage = {shard['ShardId']: [shard[name] for name in ('ParentShardId', 'AdjacentParentShardId') if name in shard] for shard in known}
told['children as listed'] = all(
    [(child, tuple(sorted(lineage[child]))) for child, _, _ in children] == sorted((child, tuple(sorted(parents))) for child, parents in lineage.items() if shard in parents)
    for shard, children in ends.items())
told['ended'] = sorted(ends) == sorted(shard['ShardId'] for shard in known if 'EndingSequenceNumber' in shard['SequenceNumberRange'])
told['parents first'] = all(order.index(parent) < order.index(child) for child, parents in lineage.items() for parent in parents if child in order)
told['open'] = sum('EndingSequenceNumber' not in shard['SequenceNumberRange'] for shard in known)
told['numbers grow'] = all(
    all(int(next(one for one in known if one['ShardId'] == parent)['SequenceNumberRange']['StartingSequenceNumber']) < int(shard['SequenceNumberRange']['StartingSequenceNumber']) for parent in lineage[shard['ShardId']])
    for shard in known)
# Of one that begins again at the start, the first answer says how far behind it is.
time.sleep(0.2)
oldest = kinesis.get_shard_iterator(StreamName=stream, ShardId=order[0], ShardIteratorType='TRIM_HORIZON')['ShardIterator']
told['behind'] = kinesis.get_records(ShardIterator=oldest, Limit=1)['MillisBehindLatest'] > 0
kinesis.delete_stream(StreamName=stream)
kinesis.get_waiter('stream_not_exists').wait(StreamName=stream, WaiterConfig={'Delay': 1, 'MaxAttempts': 20})
print(json.dumps(told))
`

test.each(pythons.slice(0, 1))(
  'a consumer with leases and checkpoints sees every record once and in order, by boto3 of %s',
  { timeout: 90_000 },
  async (python) => {
    expect(await told(python, consumer, 'c')).toEqual({
      keys: 60,
      'in order, once': true,
      'behind at the end': 0,
      checkpoints: ['SHARD_END'],
      'children as listed': true,
      ended: true,
      'parents first': true,
      open: 3,
      'numbers grow': true,
      behind: true,
    })
  },
)

const everything = `
stream, other = prefix + '-walk', prefix + '-on-demand'
ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/' + stream
known = set(kinesis.meta.service_model.operation_names)
summary = lambda name=stream: kinesis.describe_stream_summary(StreamName=name)['StreamDescriptionSummary']

kinesis.create_stream(StreamName=stream, ShardCount=1)
told['creating'] = summary()['StreamStatus']
active(stream)
kinesis.create_stream(StreamName=other, StreamModeDetails={'StreamMode': 'ON_DEMAND'})
active(other)
told['twice'] = error(kinesis.create_stream, StreamName=stream, ShardCount=1)
told['limits'] = sorted(name for name in kinesis.describe_limits() if name != 'ResponseMetadata')
told['streams'] = [name for page in kinesis.get_paginator('list_streams').paginate(PaginationConfig={'PageSize': 1}) for name in page['StreamNames'] if name.startswith(prefix)]
told['summary'] = {name: value for name, value in summary().items() if name not in ('StreamCreationTimestamp', 'StreamId')}
told['created'] = abs((datetime.datetime.now(datetime.timezone.utc) - summary()['StreamCreationTimestamp']).total_seconds()) < 60
told['on demand'] = [summary(other)['StreamModeDetails'], summary(other)['OpenShardCount']]

put = kinesis.put_record(StreamName=stream, PartitionKey='a', Data=bytes(range(256)))
told['put'] = [put['ShardId'], len(put['SequenceNumber'])]
many = kinesis.put_records(StreamName=stream, Records=[{'PartitionKey': 'k%d' % n, 'Data': b'%d' % n, 'ExplicitHashKey': str(n)} for n in range(5)])
told['put many'] = [many['FailedRecordCount'], len(many['Records'])]
read = lambda **where: kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(StreamName=stream, ShardId='shardId-000000000000', **where)['ShardIterator'])
first = read(ShardIteratorType='TRIM_HORIZON')['Records']
told['bytes'] = [first[0]['Data'] == bytes(range(256)), first[0]['SequenceNumber'] == put['SequenceNumber'], len(first)]
told['at'] = [len(read(ShardIteratorType='AT_SEQUENCE_NUMBER', StartingSequenceNumber=put['SequenceNumber'])['Records']), len(read(ShardIteratorType='AFTER_SEQUENCE_NUMBER', StartingSequenceNumber=put['SequenceNumber'])['Records'])]
# It sends whole seconds.
time.sleep(1.1)
told['at a time'] = [len(read(ShardIteratorType='AT_TIMESTAMP', Timestamp=first[0]['ApproximateArrivalTimestamp'])['Records']), len(read(ShardIteratorType='AT_TIMESTAMP', Timestamp=time.time())['Records'])]
told['latest'] = read(ShardIteratorType='LATEST')['Records']

kinesis.split_shard(StreamName=stream, ShardToSplit='shardId-000000000000', NewStartingHashKey=str(2 ** 127))
active(stream)
kinesis.merge_shards(StreamName=stream, ShardToMerge='shardId-000000000001', AdjacentShardToMerge='shardId-000000000002')
active(stream)
told['scaled'] = {name: value for name, value in kinesis.update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType='UNIFORM_SCALING').items() if name != 'ResponseMetadata'}
active(stream)
listed = lambda **more: [shard['ShardId'][-1] for shard in kinesis.list_shards(StreamName=stream, **more)['Shards']]
told['shards'] = listed()
told['described'] = [shard['ShardId'][-1] for page in kinesis.get_paginator('describe_stream').paginate(StreamName=stream, PaginationConfig={'PageSize': 2}) for shard in page['StreamDescription']['Shards']]
told['paged'] = [shard['ShardId'][-1] for page in kinesis.get_paginator('list_shards').paginate(StreamName=stream, PaginationConfig={'PageSize': 2}) for shard in page['Shards']]
time.sleep(1.1)
told['filtered'] = [listed(ShardFilter={'Type': 'AT_LATEST'}), listed(ShardFilter={'Type': 'AFTER_SHARD_ID', 'ShardId': 'shardId-000000000002'}), listed(ShardFilter={'Type': 'AT_TRIM_HORIZON'}), listed(ShardFilter={'Type': 'FROM_TIMESTAMP', 'Timestamp': time.time()})]

kinesis.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
until(lambda: summary()['RetentionPeriodHours'] == 48); active(stream)
kinesis.decrease_stream_retention_period(StreamName=stream, RetentionPeriodHours=24)
until(lambda: summary()['RetentionPeriodHours'] == 24); active(stream)
kinesis.add_tags_to_stream(StreamName=stream, Tags={'a': '1', 'b': 'ü'})
kinesis.remove_tags_from_stream(StreamName=stream, TagKeys=['a'])
told['tags'] = kinesis.list_tags_for_stream(StreamName=stream)['Tags']
if 'TagResource' in known:
    kinesis.tag_resource(ResourceARN=ARN, Tags={'c': '3'})
    kinesis.untag_resource(ResourceARN=ARN, TagKeys=['b'])
    told['tags'] = kinesis.list_tags_for_resource(ResourceARN=ARN)['Tags']
    kinesis.untag_resource(ResourceARN=ARN, TagKeys=['c'])
    kinesis.tag_resource(ResourceARN=ARN, Tags={'b': 'ü'})
    told['tags'] = kinesis.list_tags_for_resource(ResourceARN=ARN)['Tags']
kinesis.update_stream_mode(StreamARN=ARN, StreamModeDetails={'StreamMode': 'ON_DEMAND'})
until(lambda: summary()['StreamModeDetails']['StreamMode'] == 'ON_DEMAND'); active(stream)
told['bigger'] = None
if 'UpdateMaxRecordSize' in known:
    kinesis.update_max_record_size(StreamARN=ARN, MaxRecordSizeInKiB=2048)
    until(lambda: summary()['MaxRecordSizeInKiB'] == 2048); active(stream)
    told['bigger'] = len(kinesis.put_record(StreamName=stream, PartitionKey='a', Data=b'x' * 2_000_000)['SequenceNumber'])
for operation, given in {
    'enable_enhanced_monitoring': {'StreamName': stream, 'ShardLevelMetrics': ['ALL']}, 'disable_enhanced_monitoring': {'StreamName': stream, 'ShardLevelMetrics': ['ALL']},
    'start_stream_encryption': {'StreamName': stream, 'EncryptionType': 'KMS', 'KeyId': 'k'}, 'stop_stream_encryption': {'StreamName': stream, 'EncryptionType': 'KMS', 'KeyId': 'k'},
    'get_resource_policy': {'ResourceARN': ARN}, 'put_resource_policy': {'ResourceARN': ARN, 'Policy': '{}'}, 'delete_resource_policy': {'ResourceARN': ARN},
    'describe_account_settings': {}, 'update_account_settings': {'MinimumThroughputBillingCommitment': {'Status': 'ENABLED'}}, 'update_stream_warm_throughput': {'StreamName': stream, 'WarmThroughputMiBps': 1},
}.items():
    if hasattr(kinesis, operation): told.setdefault('not built', []).append(error(getattr(kinesis, operation), **given)[1])

consumer = kinesis.register_stream_consumer(StreamARN=ARN, ConsumerName='app')['Consumer']
until(lambda: kinesis.describe_stream_consumer(ConsumerARN=consumer['ConsumerARN'])['ConsumerDescription']['ConsumerStatus'] == 'ACTIVE')
told['consumers'] = [one['ConsumerName'] for page in kinesis.get_paginator('list_stream_consumers').paginate(StreamARN=ARN) for one in page['Consumers']]
subscription = kinesis.subscribe_to_shard(ConsumerARN=consumer['ConsumerARN'], ShardId='shardId-000000000000', StartingPosition={'Type': 'TRIM_HORIZON'})['EventStream']
pushed = []
for event in subscription:
    pushed.append(event['SubscribeToShardEvent'])
subscription.close()
told['pushed'] = [sum(len(event['Records']) for event in pushed), [child['ShardId'][-1] for child in pushed[-1].get('ChildShards', [])], pushed[0]['Records'][0]['Data'] == bytes(range(256))]

# Mappings.
options = dict(FunctionName='f', EventSourceArn=ARN, StartingPosition='AT_TIMESTAMP', StartingPositionTimestamp=datetime.datetime.now(), BatchSize=7, MaximumBatchingWindowInSeconds=1,
    ParallelizationFactor=2, BisectBatchOnFunctionError=True, MaximumRetryAttempts=5, MaximumRecordAgeInSeconds=120, FunctionResponseTypes=['ReportBatchItemFailures'],
    FilterCriteria={'Filters': [{'Pattern': '{"data":{"a":[1]}}'}]}, DestinationConfig={'OnFailure': {'Destination': 'arn:aws:sns:us-east-1:000000000000:topic'}})
hasTags = 'Tags' in functions.meta.service_model.operation_model('CreateEventSourceMapping').input_shape.members
mapping = functions.create_event_source_mapping(**options, **({'Tags': {'t': '1'}} if hasTags else {}))
uuid = mapping['UUID']
state = lambda: functions.get_event_source_mapping(UUID=uuid)['State']
told['mapping'] = [mapping['ResponseMetadata']['HTTPStatusCode'], mapping['State'], mapping['StartingPosition'], isinstance(mapping['StartingPositionTimestamp'], datetime.datetime), isinstance(mapping['LastModified'], datetime.datetime)]
told['settings'] = {name: mapping[name] for name in ('BatchSize', 'MaximumBatchingWindowInSeconds', 'ParallelizationFactor', 'BisectBatchOnFunctionError', 'MaximumRetryAttempts', 'MaximumRecordAgeInSeconds', 'TumblingWindowInSeconds', 'FunctionResponseTypes', 'FilterCriteria', 'DestinationConfig', 'FunctionArn', 'EventSourceArn', 'StateTransitionReason', 'LastProcessingResult')}
until(lambda: state() == 'Enabled')
told['exists'] = error(functions.create_event_source_mapping, FunctionName='f', EventSourceArn=ARN, StartingPosition='LATEST')[:2]
second = functions.create_event_source_mapping(FunctionName='g', EventSourceArn=ARN, StartingPosition='LATEST', TumblingWindowInSeconds=1)['UUID']
told['listed'] = [[one['FunctionArn'].rsplit(':')[-1] for page in functions.get_paginator('list_event_source_mappings').paginate(PaginationConfig={'PageSize': 1}, **wish) for one in page['EventSourceMappings']] for wish in ({'FunctionName': 'f', 'EventSourceArn': ARN}, {'EventSourceArn': consumer['ConsumerARN']})]
told['both'] = sorted(one['FunctionArn'].rsplit(':')[-1] for page in functions.get_paginator('list_event_source_mappings').paginate(EventSourceArn=ARN, PaginationConfig={'PageSize': 1}) for one in page['EventSourceMappings'])
updated = functions.update_event_source_mapping(UUID=uuid, FunctionName='f', BatchSize=9, Enabled=False, FilterCriteria={}, DestinationConfig={'OnFailure': {}}, FunctionResponseTypes=[])
told['updated'] = [updated['ResponseMetadata']['HTTPStatusCode'], updated['BatchSize'], updated.get('FilterCriteria'), updated['FunctionResponseTypes']]
until(lambda: state() == 'Disabled')
if hasTags:
    functions.tag_resource(Resource=mapping['EventSourceMappingArn'], Tags={'u': '2'})
    functions.untag_resource(Resource=mapping['EventSourceMappingArn'], TagKeys=['t'])
    told['mapping tags'] = functions.list_tags(Resource=mapping['EventSourceMappingArn'])['Tags']
for one in (uuid, second):
    until(lambda: functions.get_event_source_mapping(UUID=one)['State'] in ('Enabled', 'Disabled'))
    told['deleted'] = functions.delete_event_source_mapping(UUID=one)['State']
    until(lambda: error(functions.get_event_source_mapping, UUID=one)[1:] == ['ResourceNotFoundException', 'The resource you requested does not exist.'])

told['consumers keep it'] = error(kinesis.delete_stream, StreamName=stream)[1]
kinesis.deregister_stream_consumer(ConsumerARN=consumer['ConsumerARN'])
until(lambda: kinesis.list_stream_consumers(StreamARN=ARN)['Consumers'] == [])
kinesis.delete_stream(StreamName=stream)
kinesis.delete_stream(StreamName=other, EnforceConsumerDeletion=True)
for name in (stream, other):
    kinesis.get_waiter('stream_not_exists').wait(StreamName=name, WaiterConfig={'Delay': 1, 'MaxAttempts': 20})
told['gone'] = error(kinesis.put_record, StreamName=stream, PartitionKey='a', Data=b'')
print(json.dumps(told))
`

// Much of it is waiting: botocore's waiters wait for whole seconds.
test.concurrent.each(pythons.map((python, index) => [python, `w${index}`] as const))(
  'boto3 of %s goes through all operations',
  { timeout: 90_000 },
  async (python, prefix) => {
    const walked = await told(python, everything, prefix)
    const isNew = 'mapping tags' in walked
    const of = (name: string) => `arn:aws:kinesis:us-east-1:000000000000:stream/${prefix}-${name}`
    const notFound = `Stream ${prefix}-walk under account 000000000000 not found.`
    expect(walked).toEqual({
      // A stream may be there before its first answer.
      creating: expect.stringMatching(/^(CREATING|ACTIVE)$/),
      twice: [
        400,
        'ResourceInUseException',
        `Stream ${prefix}-walk under account 000000000000 already exists.`,
      ],
      limits: ['OnDemandStreamCount', 'OnDemandStreamCountLimit', 'OpenShardCount', 'ShardLimit'],
      streams: [`${prefix}-on-demand`, `${prefix}-walk`],
      summary: {
        StreamName: `${prefix}-walk`,
        StreamARN: of('walk'),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        RetentionPeriodHours: 24,
        EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
        EncryptionType: 'NONE',
        OpenShardCount: 1,
        ConsumerCount: 0,
        ...(isNew ? { MaxRecordSizeInKiB: 1024 } : {}),
      },
      created: true,
      'on demand': [{ StreamMode: 'ON_DEMAND' }, 4],
      put: ['shardId-000000000000', 56],
      'put many': [0, 5],
      bytes: [true, true, 6],
      at: [6, 5],
      'at a time': [6, 0],
      latest: [],
      scaled: {
        StreamName: `${prefix}-walk`,
        CurrentShardCount: 1,
        TargetShardCount: 2,
        ...(isNew ? { StreamARN: of('walk') } : {}),
      },
      shards: ['0', '1', '2', '3', '4', '5'],
      described: ['0', '1', '2', '3', '4', '5'],
      paged: ['0', '1', '2', '3', '4', '5'],
      filtered: [['4', '5'], ['3', '4', '5'], ['0'], ['4', '5']],
      tags: [{ Key: 'b', Value: 'ü' }],
      bigger: isNew ? 56 : null,
      'not built': Array.from({ length: isNew ? 10 : 4 }, () => 'UnknownOperationException'),
      consumers: ['app'],
      pushed: [6, ['1', '2'], true],
      mapping: [202, 'Creating', 'AT_TIMESTAMP', true, true],
      settings: {
        BatchSize: 7,
        MaximumBatchingWindowInSeconds: 1,
        ParallelizationFactor: 2,
        BisectBatchOnFunctionError: true,
        MaximumRetryAttempts: 5,
        MaximumRecordAgeInSeconds: 120,
        TumblingWindowInSeconds: 0,
        FunctionResponseTypes: ['ReportBatchItemFailures'],
        FilterCriteria: { Filters: [{ Pattern: '{"data":{"a":[1]}}' }] },
        DestinationConfig: {
          OnFailure: { Destination: 'arn:aws:sns:us-east-1:000000000000:topic' },
        },
        FunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:f',
        EventSourceArn: of('walk'),
        StateTransitionReason: 'User action',
        LastProcessingResult: 'No records processed',
      },
      exists: [409, 'ResourceConflictException'],
      listed: [['f'], []],
      both: ['f', 'g'],
      updated: [202, 9, null, []],
      ...(isNew ? { 'mapping tags': { u: '2' } } : {}),
      deleted: 'Deleting',
      'consumers keep it': 'ResourceInUseException',
      gone: [400, 'ResourceNotFoundException', notFound],
    })
  },
)
