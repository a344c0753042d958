"""Commands that make models, and get what they are made of.

- `data`: list and download public data sets
- `encoder`: list and fetch pretrained encoders
- `train`: train, info, fine-tune and architecture
"""
