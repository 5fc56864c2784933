// Blobs with the unmodified client, told what to do line by line.
//
//     BLOB_CONNECTION_STRING=... node blobs.js
//     BLOB_URL=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... node blobs.js
//
// Reads commands from standard input, each a line of JSON: [NAME, ARGUMENT...], NAME a function of this file. Answers each
// with a line of JSON: {ok: RESULT}, or {error: {status, code, message}}. Ends with its input.

const readline = require('readline');
const {
  BlobServiceClient, BlobClient, BlockBlobClient, BlobSASPermissions, generateBlobSASQueryParameters,
} = require('@azure/storage-blob');

function connect() {
  if (process.env.BLOB_CONNECTION_STRING) {
    return BlobServiceClient.fromConnectionString(process.env.BLOB_CONNECTION_STRING);
  }
  const { ClientSecretCredential } = require('@azure/identity');
  const env = process.env;
  const credential = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
    authorityHost: env.AZURE_AUTHORITY_HOST,
    disableInstanceDiscovery: true,
  });
  return new BlobServiceClient(env.BLOB_URL, credential);
}

const service = connect();
const blob = (container, name) => service.getContainerClient(container).getBlockBlobClient(name);
const pattern = (size) => Buffer.alloc(size, Buffer.from(Array.from({ length: 1024 }, (_, it) => (it * 7) % 251)));

const commands = {
  make: async (container) => void (await service.createContainer(container)),
  drop: async (container) => void (await service.deleteContainer(container)),
  containers: async () => {
    const all = [];
    for await (const it of service.listContainers()) all.push(it.name);
    return all;
  },
  upload: async (container, name, text, overwrite = false, metadata = undefined) => {
    const conditions = overwrite ? {} : { ifNoneMatch: '*' };
    const options = { conditions, metadata, blobHTTPHeaders: { blobContentType: 'text/plain' } };
    await blob(container, name).upload(text, Buffer.byteLength(text), options);
  },
  read: async (container, name) => (await blob(container, name).downloadToBuffer()).toString(),
  upload_large: async (container, name, size) => {
    const client = blob(container, name);
    const sent = pattern(size);
    await client.uploadData(sent, { blockSize: 1 << 20, maxSingleShotSize: 1 << 20, concurrency: 4 });
    const back = await client.downloadToBuffer(0, undefined, { blockSize: 1 << 20, concurrency: 4 });
    const list = await client.getBlockList('all');
    return {
      same: Buffer.compare(sent, back) === 0,
      blocks: list.committedBlocks.length,
      waiting: (list.uncommittedBlocks || []).length,
    };
  },
  properties: async (container, name) => {
    const it = await blob(container, name).getProperties();
    return { size: it.contentLength, type: it.contentType, metadata: it.metadata };
  },
  names: async (container, prefix = undefined, page = 5000) => {
    const pages = [];
    const all = service.getContainerClient(container).listBlobsFlat({ prefix }).byPage({ maxPageSize: page });
    for await (const it of all) pages.push(it.segment.blobItems.map((blob) => blob.name));
    return pages;
  },
  walk: async (container) => {
    const all = [];
    for await (const it of service.getContainerClient(container).listBlobsByHierarchy('/')) all.push(it.name);
    return all;
  },
  append: async (container, name, texts) => {
    const client = service.getContainerClient(container).getAppendBlobClient(name);
    await client.create();
    for (const it of texts) await client.appendBlock(it, Buffer.byteLength(it));
    return (await client.downloadToBuffer()).toString();
  },
  delete: async (container, name) => void (await blob(container, name).delete()),
  // An address of a blob, signed with the account's key or, of who has none, with a user delegation key.
  signed: async (container, name, permissions, seconds) => {
    const values = {
      containerName: container,
      blobName: name,
      permissions: BlobSASPermissions.parse(permissions),
      expiresOn: new Date(Date.now() + seconds * 1000),
    };
    const client = blob(container, name);
    if (process.env.BLOB_CONNECTION_STRING) {
      return client.generateSasUrl(values);
    }
    const start = new Date(Date.now() - 60000);
    const key = await service.getUserDelegationKey(start, new Date(Date.now() + 3600000));
    return `${client.url}?${generateBlobSASQueryParameters(values, key, 'plantblobs')}`;
  },
  read_at: async (address) => (await new BlobClient(address).downloadToBuffer()).toString(),
  write_at: async (address, text) => void (await new BlockBlobClient(address).upload(text, Buffer.byteLength(text))),
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...given] = JSON.parse(line);
    let answer;
    try {
      answer = { ok: (await commands[name](...given)) ?? null };
    } catch (error) {
      // An answer without a body has its word in a header alone.
      const code = (error.details && error.details.errorCode) || error.code || error.name;
      answer = { error: { status: error.statusCode || 0, code, message: error.message } };
    }
    console.log(JSON.stringify(answer));
  }
}

main();
