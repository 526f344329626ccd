// Sends a C-ECHO and then files by C-STORE with dcmjs-dimse; prints the statuses as JSON.
//   node dcmjs_send.js '{"port": 11112, "called": "SAFELIGHT", "files": ["a.dcm"]}'
const { Client, Dataset, Transcoding, log, requests } = require('dcmjs-dimse');

async function main() {
  const { port, called, files } = JSON.parse(process.argv[2]);
  log.setLevel('error');
  await Transcoding.initializeAsync();
  const answers = { echo: null, files: {} };
  const client = new Client();
  const echo = new requests.CEchoRequest();
  echo.on('response', (response) => (answers.echo = response.getStatus()));
  client.addRequest(echo);
  for (const file of files) {
    const store = new requests.CStoreRequest(Dataset.fromFile(file));
    store.on('response', (response) => (answers.files[file] = response.getStatus()));
    client.addRequest(store);
  }
  for (const event of ['networkError', 'associationRejected', 'abort']) {
    client.on(event, (what) => {
      console.error(event, what);
      process.exit(1);
    });
  }
  client.on('closed', () => console.log(JSON.stringify(answers)));
  client.send('127.0.0.1', port, 'DCMJS', called);
}

main();
