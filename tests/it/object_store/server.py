"""An S3 server for a test: moto on a port that the system chooses. It says where it is and with which keys it is used, in one line of
JSON, and lives until its standard input ends. Requests are authenticated."""

import json
import os
import sys

# What is done before keys exist: a user, a key, a policy, a bucket.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3  # noqa: E402: the setting above is read when moto is imported
from moto.server import ThreadedMotoServer  # noqa: E402

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"


def client(name, key="nobody", secret="nothing"):
    return boto3.client(
        name, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


iam = client("iam")
iam.create_user(UserName="tester")
key = iam.create_access_key(UserName="tester")["AccessKey"]
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
iam.put_user_policy(UserName="tester", PolicyName="everything", PolicyDocument=json.dumps(everything))
client("s3").create_bucket(Bucket="bucket")
print(json.dumps({"endpoint": endpoint, "key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
sys.stdin.read()
os._exit(0)
