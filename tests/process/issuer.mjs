// An OpenID Provider nobody here wrote, that issues JWT access tokens for client credentials (RFC 9068).
// Its port is on stdout; a line on stdin makes it begin anew with a new key, as a rotation does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const AUDIENCE = 'https://fi-fhir.example';
let handle = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));
let generation = 0;

function key(kty, options, alg) {
  const { privateKey } = generateKeyPairSync(kty, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: `${alg}-${generation}`, alg, use: 'sig' };
}

function begin(port) {
  generation += 1;
  const keys = [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')];
  const client = (client_id, alg) => ({
    client_id, client_secret: 'a secret of the tests', grant_types: ['client_credentials'], redirect_uris: [],
    response_types: [], id_token_signed_response_alg: alg,
  });
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys },
    clients: [
      client('lab', 'RS256'), client('ward', 'ES256'),
      { ...client('sender', 'RS256'), token_endpoint_auth_method: 'client_secret_post' },
    ],
    scopes: ['parse', 'workflow', 'replay', 'admin'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: (context, resource, client) => ({
          scope: 'parse workflow replay admin', audience: resource, accessTokenTTL: 600, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: client.clientId === 'ward' ? 'ES256' : 'RS256' } },
        }),
      },
    },
  });
  handle = provider.callback();
}

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  begin(port);
  console.log(port);
  createInterface({ input: process.stdin }).on('line', () => { begin(port); console.log('rotated'); });
});
