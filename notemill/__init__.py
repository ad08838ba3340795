"""The `notemill` command and the SDK for ETL code. Imports nothing, so that `notemill.sdk` stays light."""
