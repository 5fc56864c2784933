// azure-identity, which signs a person in by a device code. A line of JSON each way.
"use strict";
const { DeviceCodeCredential } = require("@azure/identity");

const told = (what) => console.log(JSON.stringify(what));
const credential = new DeviceCodeCredential({
  authorityHost: process.env.AZURE_AUTHORITY_HOST,
  tenantId: process.env.AZURE_TENANT_ID,
  disableInstanceDiscovery: true,
  userPromptCallback: (info) => told({ flow: { user_code: info.userCode, verification_uri: info.verificationUri } }),
});
credential.getToken("https://management.azure.com/.default").then(
  (answer) => told({ answer: { access_token: answer.token } }),
  (error) => told({ answer: { error: String(error) } }),
);
