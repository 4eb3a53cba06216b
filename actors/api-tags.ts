/**
 * The operations on tags. Functions and event source mappings have tags here.
 *
 * Source: lambda-semantics.md, Appendix A; LocalStack's TestLambdaTags and TestLambdaTag, recorded on AWS.
 */
import { checkInput, type Input } from '../edges/aws/constraints.ts'
import { isRefusal, type Refusal, refuse } from '../edges/aws/errors.ts'
import { mappingArn } from '../edges/aws/event-source-mapping.ts'
import { checkTags } from '../edges/aws/function-requests.ts'
import { shapes } from '../edges/aws/function-shapes.ts'
import { canExist, functionNotFound, parseFunctionName } from '../edges/aws/names.ts'
import { refuseUnhonoured } from '../edges/aws/unhonoured.ts'
import { patternConstraint } from '../edges/aws/validation-texts.ts'
import type { MappingCommand } from '../machines/mapping.ts'
import type { ApiBinding, ApiHandler, Told } from './api.ts'
import { changesTo } from './api-changes.ts'
import { mappingChanges } from './api-mapping-changes.ts'
import type { FunctionCommand } from './function.ts'

type Operation = 'ListTags' | 'TagResource' | 'UntagResource'

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

/** As AWS echoes it: `TaggableResource` of the service model. */
const taggable = String.raw`arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`
const taggablePattern = new RegExp(`^${taggable}$`)

/** What has tags, once it was found. `revision`: of the registry that shows them. */
type Tagged = {
  tags: Record<string, string>
  revision?: number
  tag(tags: Record<string, string>): Promise<Told>
  untag(keys: string[]): Promise<Told>
}
type Resource = { function: string } | { mapping: string; arn: string }

export function tagOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const find = async (resource: Resource | Refusal): Promise<Tagged | Refusal> => {
    if (isRefusal(resource)) return resource
    return 'function' in resource
      ? await taggedFunction(resource.function, binding)
      : await taggedMapping(resource, binding)
  }

  return {
    async ListTags(input) {
      const found = await find(readResource('ListTags', input, binding))
      return isRefusal(found) ? found : { body: { Tags: found.tags }, revision: found.revision }
    },

    async TagResource(input) {
      const resource = readResource('TagResource', input, binding)
      if (isRefusal(resource)) return resource
      const tags = input['Tags'] as Record<string, string>
      // Recorded: test_tag_exceptions, tag_empty_tags.
      if (Object.keys(tags).length === 0) {
        return invalid('An error occurred and the request cannot be processed.')
      }
      const found = await find(resource)
      if (isRefusal(found)) return found
      const bad = checkTags(tags) ?? checkTags({ ...found.tags, ...tags })
      return bad ?? (await found.tag(tags))
    },

    async UntagResource(input) {
      const found = await find(readResource('UntagResource', input, binding))
      return isRefusal(found) ? found : await found.untag(input['TagKeys'] as string[])
    },
  }
}

async function taggedFunction(name: string, binding: ApiBinding): Promise<Tagged | Refusal> {
  const { stamp, change } = changesTo(binding)
  const held = canExist(name) ? await binding.functions.read(name) : undefined
  if (held === undefined) return functionNotFound(binding, name)
  const changed = async (command: FunctionCommand): Promise<Told> => {
    const { revision } = await change(name, command)
    return { revision }
  }
  return {
    tags: held.value.tags,
    revision: held.revision,
    tag: (tags) => changed({ type: 'tag', tags, ...stamp() }),
    untag: (keys) => changed({ type: 'untag', keys, ...stamp() }),
  }
}

async function taggedMapping(
  { mapping: uuid, arn }: Extract<Resource, { mapping: string }>,
  binding: ApiBinding,
): Promise<Tagged | Refusal> {
  const { find, change } = mappingChanges(binding)
  const isHere = arn === mappingArn(binding, uuid)
  const record = isHere ? await find(uuid) : undefined
  if (record === undefined) return notFoundAs('event-source-mapping', arn)
  const stamped = { uuid: record.uuid, nowMs: binding.clock.nowMs() }
  const changed = async (command: MappingCommand): Promise<Told> => {
    await change(command, record)
    return {}
  }
  return {
    tags: record.tags,
    tag: (tags) => changed({ type: 'tag', tags, ...stamped }),
    untag: (keys) => changed({ type: 'untag', keys, ...stamped }),
  }
}

/** What is meant to have tags. */
function readResource(operation: Operation, input: Input, binding: ApiBinding): Resource | Refusal {
  const shape = shapes[operation]
  const given = input['Resource']
  const isBad = typeof given === 'string' && !taggablePattern.test(given)
  const complaints = isBad ? [patternConstraint(given, 'resource', taggable)] : []
  const bad = checkInput(shape, input, complaints) ?? refuseUnhonoured(input, shape.members, '')
  if (bad !== undefined) return bad
  const resource = String(given)
  const [, , , , , kind, uuid = ''] = resource.split(':')
  if (kind === 'event-source-mapping') return { mapping: uuid, arn: resource }
  if (kind !== 'function') return notFoundAs(kind, resource)
  const { region, account } = binding
  const parsed = parseFunctionName(resource, undefined, { region, account, operation })
  if (isRefusal(parsed)) return parsed
  return parsed.qualifier === undefined
    ? { function: parsed.name }
    : invalid(
        'Tags on function aliases and versions are not supported. Please specify a function ARN.',
      )
}

/** Of layers, code signing configurations and capacity providers nothing is ever there. */
function notFoundAs(kind: string | undefined, resource: string): Refusal {
  const named: Record<string, string> = {
    'event-source-mapping': 'Event source mapping',
    'capacity-provider': 'Capacity provider',
    layer: 'Layer',
    'code-signing-config': 'Code signing config',
  }
  return refuse(
    'ResourceNotFoundException',
    `${named[kind ?? ''] ?? 'Resource'} not found: ${resource}`,
  )
}
