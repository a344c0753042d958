from .recordings import OnboardingResult as OnboardingResult
