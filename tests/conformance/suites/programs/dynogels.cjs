// Loaded before the tests of dynogels, which ask http://localhost:8000: has them ask the server of AWS_ENDPOINT_URL.
const AWS = require("aws-sdk");
const helper = require("dynogels/test/test-helper");

helper.realDynamoDB = () =>
  new AWS.DynamoDB({ endpoint: process.env.AWS_ENDPOINT_URL, region: process.env.AWS_REGION, apiVersion: "2012-08-10" });
